package dataset_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
)

// Quantiles are right to 1.6 %, whatever the magnitude and sign, and the sum of two sketches is the sketch of all.
func TestQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var all, one, two dataset.Number
	var values []float64
	for i := range 20_000 {
		v := math.Exp(20*r.NormFloat64()/5) * float64(1-2*(i%3%2))
		if i%10 == 0 {
			v = 0
		}
		values = append(values, v)
		all.Observe(v)
		if i < 7000 {
			one.Observe(v)
		} else {
			two.Observe(v)
		}
	}
	all.Observe(math.NaN())
	all.Observe(math.Inf(1))
	one.Merge(&two)
	one.Sum = all.Sum // differs by rounding
	a, _ := json.Marshal(all)
	b, _ := json.Marshal(one)
	if string(a) != string(b) {
		t.Errorf("merged %s\nwhole %s", b, a)
	}
	slices.Sort(values)
	for _, q := range []float64{0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1} {
		want := values[int(q*float64(len(values)-1))]
		if got := all.Quantile(q); math.Abs(got-want) > 0.016*math.Abs(want) {
			t.Errorf("quantile %g is %g, want %g", q, got, want)
		}
	}
	var n int64
	for _, c := range all.Histogram(20) {
		n += c
	}
	if n != 20_000 {
		t.Errorf("the histogram holds %d values", n)
	}
}
