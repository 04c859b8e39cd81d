package transport

import (
	kitmetrics "github.com/go-kit/kit/metrics"
	kitprometheus "github.com/go-kit/kit/metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the room. Labels are routes and problem codes: both bounded.
type metrics struct {
	requests kitmetrics.Counter
	panics   kitmetrics.Counter
	seconds  kitmetrics.Histogram
}

func newMetrics(registry *prometheus.Registry) *metrics {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hutong_transport_requests_total", Help: "Requests by route and outcome."}, []string{"route", "code"})
	panics := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hutong_transport_panics_total", Help: "Requests that panicked and were answered 500."}, nil)
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hutong_transport_request_seconds", Help: "Time from decoded request to answer.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9)}, []string{"route"})
	registry.MustRegister(requests, panics, seconds)
	return &metrics{requests: kitprometheus.NewCounter(requests), panics: kitprometheus.NewCounter(panics), seconds: kitprometheus.NewHistogram(seconds)}
}
