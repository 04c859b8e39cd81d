package feed

import "text/template"

// What running templates may cost. A unit is about one step of the interpreter;
// texts cost a unit for every bytesPerUnit. The bounds are of work and not of time,
// so that a document is the same on every machine.
const (
	entryUnits    = 1 << 15 // for all templates of one entry
	documentUnits = 1 << 19 // for all entries of one document: later ones fall back
	bytesPerUnit  = 32
	mapUnits      = 8        // for each member of an object ranged over, because it is sorted first
	maxValue      = 64 << 10 // bytes of a text given to a function that reads it
)

// meter counts down what one run may still cost. It belongs to one goroutine.
type meter struct{ left int }

// pay takes units, and returns errWork when there are none left.
func (m *meter) pay(units int) error {
	if m.left -= units; m.left < 0 {
		m.left = 0
		return errWork
	}
	return nil
}

// functions are what the calls that fitter puts into a template run.
func (m *meter) functions() template.FuncMap {
	return template.FuncMap{meterResult: m.result, meterValue: m.value, meterRange: m.over, meterText: m.text}
}

// result passes any value on that is not read.
func (m *meter) result(weight int, v any) (any, error) { return v, m.pay(weight) }

// value passes a text, number or truth value on to a function that reads it.
func (m *meter) value(weight int, v any) (any, error) {
	switch v := v.(type) {
	case map[string]any, []any:
		return nil, errValue
	case string:
		if len(v) > maxValue {
			return nil, errValue
		}
		weight += len(v) / bytesPerUnit
	}
	return v, m.pay(weight)
}

// over passes on what a range goes over, and pays for all its rounds.
func (m *meter) over(weight int, v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		weight += mapUnits * len(v)
	case []any:
		weight += len(v)
	case nil:
	default:
		return nil, errValue
	}
	return v, m.pay(weight)
}

// text passes on what is written. Objects and arrays have no text.
func (m *meter) text(weight int, v any) (any, error) {
	switch v := v.(type) {
	case map[string]any, []any:
		return nil, errValue
	case string:
		weight += len(v) / bytesPerUnit
	}
	return v, m.pay(weight)
}
