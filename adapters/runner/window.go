package runner

// windowRecords is how many of the last records a threshold looks at, and
// windowLeast how many there must be before it speaks: a table that changes a
// row an hour is not stopped by its first bad one.
const (
	windowRecords = 500
	windowLeast   = 30
)

// window remembers of the last records which ones were refused.
type window struct {
	bad  [windowRecords]bool
	n    int // records seen
	sum  int // bad ones among the last windowRecords
	over float64
}

// add notes one record.
func (w *window) add(bad bool) {
	i := w.n % windowRecords
	if w.n >= windowRecords && w.bad[i] {
		w.sum--
	}
	w.bad[i] = bad
	if bad {
		w.sum++
	}
	w.n++
}

// tripped reports whether the share of bad records is above the threshold.
func (w *window) tripped() bool {
	n := min(w.n, windowRecords)
	return n >= windowLeast && float64(w.sum) > w.over*float64(n)
}
