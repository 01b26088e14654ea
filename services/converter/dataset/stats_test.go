package dataset_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
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

func TestColumnsNoteInTheStatisticsAtHand(t *testing.T) {
	var train, test, direct dataset.Stats
	var columns dataset.Columns
	row := func(s *dataset.Stats, x float64, color string) {
		s.AddExample(1, -1)
		columns.Use(s)
		columns.Observe(0, "x", x)
		columns.Count(1, len(color), "color", color)
	}
	row(&train, 1, "red")
	row(&train, 2, "blue")
	row(&test, 3, "red")
	test = dataset.Stats{} // begun anew
	row(&test, 4, "red")
	row(&train, 5, "red")
	for i, color := range []string{"red", "blue", "red"} {
		direct.AddExample(1, -1)
		direct.Observe("x", []float64{1, 2, 5}[i])
		direct.Count("color", color)
	}
	if !reflect.DeepEqual(train, direct) {
		t.Errorf("noted %+v, want %+v", train, direct)
	}
	if test.Numbers["x"].Sum != 4 || *test.Counts["color"]["red"] != 1 {
		t.Errorf("the other split has %+v", test)
	}
}
