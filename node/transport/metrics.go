package transport

import (
	kitmetrics "github.com/go-kit/kit/metrics"
	kitprometheus "github.com/go-kit/kit/metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the room. Labels are routes and problem codes: both bounded.
type metrics struct {
	requests kitmetrics.Counter
	inFlight kitmetrics.Gauge
	panics   kitmetrics.Counter
	seconds  kitmetrics.Histogram
}

func newMetrics(registry *prometheus.Registry) *metrics {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hutong_transport_requests_total", Help: "Requests by route and outcome."}, []string{"route", "code"})
	inFlight := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hutong_transport_requests_in_flight", Help: "Requests being answered, long polls included."}, nil)
	panics := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hutong_transport_panics_total", Help: "Requests that panicked and were answered 500."}, nil)
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hutong_transport_request_seconds", Help: "Time from decoded request to answer.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9)}, []string{"route"})
	registry.MustRegister(requests, inFlight, panics, seconds)
	return &metrics{requests: kitprometheus.NewCounter(requests), inFlight: kitprometheus.NewGauge(inFlight), panics: kitprometheus.NewCounter(panics), seconds: kitprometheus.NewHistogram(seconds)}
}
