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

func TestHistogramsOfWholeNumbersHaveNoGaps(t *testing.T) {
	for _, test := range []struct {
		name     string
		from, to int
		step     float64
		want     []int64
	}{
		{"true and false", 0, 1, 1, []int64{1, 1}},
		{"about zero", -2, 2, 1, []int64{1, 1, 1, 1, 1}},
		{"one value", 7, 7, 1, []int64{1}},
		{"in wide buckets", 1_000, 1_199, 1, []int64{20, 20, 20, 20, 20, 20, 20, 20, 20, 20}},
		{"negative ones in wide buckets", -1_199, -1_000, 1, []int64{20, 20, 20, 20, 20, 20, 20, 20, 20, 20}},
		{"halves", 0, 20, 0.5, []int64{2, 2, 2, 2, 2, 2, 2, 2, 2, 3}},
	} {
		var n dataset.Number
		for i := test.from; i <= test.to; i++ {
			n.Observe(float64(i) * test.step)
		}
		got := n.Histogram(10)
		for i := range got {
			if len(got) != len(test.want) || max(got[i]-test.want[i], test.want[i]-got[i]) > test.want[i]/5 {
				t.Errorf("%s: %v, want about %v", test.name, got, test.want)
				break
			}
		}
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
