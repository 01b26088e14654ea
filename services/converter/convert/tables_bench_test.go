package convert_test

import (
	"bufio"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// BenchmarkTables converts a gigabyte of CSV, of JSON lines and of Parquet, in pairs with parsing it and no more: by encoding/csv,
// by encoding/json into a struct that knows the columns beforehand, and by the row reader of parquet-go. It verifies the outputs first and ends with
// a line a figure: the median of the pairs' ratios, with 1 and with 2 workers. BENCH_MB makes the inputs smaller. Run it once:
//
//	TMPDIR=/dev/shm go test ./converter/convert -run '^$' -bench '^BenchmarkTables$' -benchtime 1x
func BenchmarkTables(b *testing.B) {
	for _, f := range []tableFormat{{"csv", writeCSV, parseCSV}, {"jsonl", writeJSONL, parseJSONL}, {"parquet", writeParquet, parseParquet}} {
		b.Run(f.name, func(b *testing.B) {
			for b.Loop() {
				f.bench(b)
			}
		})
	}
	fmt.Printf("  peak memory of this process, with that of verification and of the parsers: %d MiB\n", peakMemory(b)>>20)
}

type tableFormat struct {
	name  string
	write func(w io.Writer, next func() *benchRow) error
	parse func(src string) (rows int, err error)
}

func (f *tableFormat) bench(b *testing.B) {
	const pairs = 3
	dir := b.TempDir()
	src, out := filepath.Join(dir, "reviews."+f.name), filepath.Join(dir, "out")
	want := writeTable(b, src, f.write)
	verifyTable(b, src, out, want)
	for _, workers := range []int{1, 2} {
		var ratios, seconds []float64
		before := runtime.GOMAXPROCS(workers)
		for i := range pairs {
			parseWall, parseCPU := measure(b, func() {
				if rows, err := f.parse(src); err != nil || int64(rows) != want.rows {
					b.Fatalf("%d rows, want %d: %v", rows, want.rows, err)
				}
			})
			convWall, convCPU := measure(b, func() { convertTable(b, src, out) })
			if err := os.RemoveAll(out); err != nil {
				b.Fatal(err)
			}
			fmt.Printf("  %s, %d workers, pair %d: parsing only %v wall %v cpu, convert %v wall %v cpu\n", f.name, workers, i, parseWall, parseCPU, convWall, convCPU)
			ratios, seconds = append(ratios, convWall.Seconds()/parseWall.Seconds()), append(seconds, convWall.Seconds())
		}
		runtime.GOMAXPROCS(before)
		slices.Sort(seconds)
		median := seconds[pairs/2]
		fmt.Printf("  %s, %d workers: %.0f rows/s, %.0f MB/s of the source\n", f.name, workers, float64(want.rows)/median, float64(want.bytes)/median/1e6)
		printRatio(fmt.Sprintf("%s_vs_parsing_wall_%d_workers", f.name, workers), ratios, 1.5)
	}
}

// benchRow is a review of a shop: numbers, categories, and a text that makes up about half of its bytes.
type benchRow struct {
	ID       int64     `json:"id" parquet:"id"`
	User     int64     `json:"user" parquet:"user"`
	Item     benchItem `json:"item" parquet:"item"`
	Score    float64   `json:"score" parquet:"score"`
	Country  string    `json:"country" parquet:"country,dict"`
	Verified bool      `json:"verified" parquet:"verified"`
	Day      string    `json:"day" parquet:"day,dict"`
	Text     string    `json:"text" parquet:"text"`
	Label    string    `json:"label" parquet:"label,dict"`
}

type benchItem struct {
	Category string  `json:"category" parquet:"category,dict"`
	Price    float64 `json:"price" parquet:"price"` // in whole cents
	Quantity int64   `json:"quantity" parquet:"quantity"`
}

// benchRows returns a function that makes the next row, in the same memory and the same on every machine.
func benchRows() func() *benchRow {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(n int, format string) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(format, i)
		}
		return all
	}
	countries, categories, labels := pick(40, "country %02d"), pick(24, "category-%02d"), []string{"bad", "fair", "good", "great", "poor"}
	words := make([]string, 4000)
	for i := range words {
		for range 2 + r.IntN(9) {
			words[i] += string(rune('a' + r.IntN(26)))
		}
	}
	days := make([]string, 1500)
	for i := range days {
		days[i] = time.Date(2020, 1, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	}
	row, text := benchRow{}, []byte(nil)
	return func() *benchRow {
		text = text[:0]
		for i := range 3 + r.IntN(28) {
			switch {
			case i > 0 && i%9 == 0:
				text = append(text, ", "...)
			case i > 0:
				text = append(text, ' ')
			}
			text = append(text, words[min(r.IntN(len(words)), r.IntN(len(words)))]...)
		}
		if r.IntN(20) == 0 {
			text = append(text, ` of 5" at best`...)
		}
		row = benchRow{
			ID: row.ID + 1, User: r.Int64N(3_000_000), Score: math.Round(r.NormFloat64()*1e6) / 1e6, Country: countries[r.IntN(len(countries))],
			Verified: r.IntN(3) > 0, Day: days[r.IntN(len(days))], Text: string(text), Label: labels[r.IntN(len(labels))],
			Item: benchItem{categories[r.IntN(len(categories))], float64(99+r.IntN(50_000)) / 100, int64(1 + r.IntN(9))},
		}
		return &row
	}
}

// tableSums tell whether two tables have the same rows, in whatever order.
type tableSums struct {
	rows, bytes int64
	ids, cents  int64
	texts       uint64 // of the CRC-32 of each text with its id
}

func (s *tableSums) add(id int64, price float64, text string) {
	s.rows++
	s.ids += id
	s.cents += int64(math.Round(price * 100))
	sum := crc32.ChecksumIEEE(binary.LittleEndian.AppendUint64(nil, uint64(id)))
	s.texts += uint64(crc32.Update(sum, crc32.IEEETable, []byte(text)))
}

// writeTable writes rows until the file is as long as it should be.
func writeTable(b *testing.B, name string, write func(io.Writer, func() *benchRow) error) tableSums {
	size := int64(1 << 30)
	if mb, err := strconv.ParseInt(os.Getenv("BENCH_MB"), 10, 64); err == nil {
		size = mb << 20
	}
	var sums tableSums
	next := benchRows()
	create(b, name, func(f io.Writer) error {
		w := &countingWriter{w: f}
		err := write(w, func() *benchRow {
			if w.n >= size {
				return nil
			}
			row := next()
			sums.add(row.ID, row.Item.Price, row.Text)
			return row
		})
		sums.bytes = w.n
		return err
	})
	return sums
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return w.w.Write(p)
}

func writeCSV(w io.Writer, next func() *benchRow) error {
	c := csv.NewWriter(w)
	if err := c.Write(strings.Split("id,user,category,price,quantity,score,country,verified,day,text,label", ",")); err != nil {
		return err
	}
	float := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	for r := next(); r != nil; r = next() {
		if err := c.Write([]string{
			strconv.FormatInt(r.ID, 10), strconv.FormatInt(r.User, 10), r.Item.Category, float(r.Item.Price), strconv.FormatInt(r.Item.Quantity, 10),
			float(r.Score), r.Country, strconv.FormatBool(r.Verified), r.Day, r.Text, r.Label,
		}); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func parseCSV(src string) (rows int, err error) {
	f, err := os.Open(src)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := csv.NewReader(bufio.NewReaderSize(f, 256<<10))
	r.ReuseRecord = true
	for {
		switch _, err := r.Read(); {
		case err == io.EOF:
			return rows - 1, nil // the header
		case err != nil:
			return 0, err
		}
		rows++
	}
}

func writeJSONL(w io.Writer, next func() *benchRow) error {
	e := json.NewEncoder(w)
	for r := next(); r != nil; r = next() {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func parseJSONL(src string) (rows int, err error) {
	f, err := os.Open(src)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(bufio.NewReaderSize(f, 256<<10))
	var row benchRow
	for ; lines.Scan(); rows++ {
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return 0, err
		}
	}
	return rows, lines.Err()
}

// writeParquet writes row groups as long as those of DuckDB.
func writeParquet(w io.Writer, next func() *benchRow) error {
	p := parquet.NewGenericWriter[benchRow](w, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(122_880))
	batch := make([]benchRow, 0, 1024)
	for r := next(); r != nil; r = next() {
		if batch = append(batch, *r); len(batch) == cap(batch) {
			if _, err := p.Write(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if _, err := p.Write(batch); err != nil {
		return err
	}
	return p.Close()
}

func parseParquet(src string) (rows int, err error) {
	f, err := os.Open(src)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	file, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return 0, err
	}
	batch := make([]parquet.Row, 256)
	for _, group := range file.RowGroups() {
		r := group.Rows()
		for {
			n, err := r.ReadRows(batch)
			rows += n
			if err == io.EOF {
				break
			}
			if err != nil {
				return 0, errors.Join(err, r.Close())
			}
		}
		if err := r.Close(); err != nil {
			return 0, err
		}
	}
	return rows, nil
}

// convertTable converts a bare file, whose name tells what it is.
func convertTable(b *testing.B, src, out string) *convert.Output {
	opts := convert.DefaultOptions("bench")
	opts.FileName = filepath.Base(src)
	o, err := convert.Local(b.Context(), src, out, opts, nil)
	if err != nil {
		b.Fatal(err)
	}
	return o
}

// verifyTable converts once and compares the examples with what was written.
func verifyTable(b *testing.B, src, out string, want tableSums) {
	o := convertTable(b, src, out)
	var mu sync.Mutex
	var got tableSums
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, s := range o.Manifest.Shards {
		group.Go(func() error {
			sums, err := sumShard(filepath.Join(out, s.Name))
			mu.Lock()
			defer mu.Unlock()
			got.rows, got.ids, got.cents, got.texts = got.rows+sums.rows, got.ids+sums.ids, got.cents+sums.cents, got.texts+sums.texts
			return err
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	if got.bytes = want.bytes; got != want {
		b.Fatalf("%s: the examples add up to %+v, the source to %+v", src, got, want)
	}
	fmt.Printf("  %s: %d rows in %d MiB, verified in %d shards\n", filepath.Base(src), want.rows, want.bytes>>20, len(o.Manifest.Shards))
	if err := os.RemoveAll(out); err != nil {
		b.Fatal(err)
	}
}

func sumShard(name string) (sums tableSums, err error) {
	f, err := os.Open(name)
	if err != nil {
		return sums, err
	}
	defer f.Close()
	r := tfrecord.NewReader(bufio.NewReaderSize(f, 1<<20), 0)
	for {
		data, err := r.Next()
		if err == io.EOF {
			return sums, nil
		}
		if err != nil {
			return sums, err
		}
		example, err := tfrecord.ParseExample(data)
		if err != nil {
			return sums, err
		}
		id, price, text := example["id"], example["price"], example["text"]
		if price.Floats == nil {
			price = example["item.price"]
		}
		if len(id.Int64s) != 1 || len(price.Floats) != 1 || len(text.Bytes) != 1 {
			return sums, fmt.Errorf("%s: an example lacks a feature: %v", name, example)
		}
		sums.add(id.Int64s[0], float64(price.Floats[0]), string(text.Bytes[0]))
	}
}
