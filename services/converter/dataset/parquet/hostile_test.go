package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	parquetgo "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
)

type seedRow struct {
	A int64     `parquet:"a,delta"`
	B *float64  `parquet:"b,optional"`
	C string    `parquet:"c,dict"`
	D []string  `parquet:"d,list"`
	E bool      `parquet:"e"`
	F [4]byte   `parquet:"f"`
	G string    `parquet:"g,delta"`
	H [][]int32 `parquet:"h,list"`
}

// seed is a file with a bit of everything, as the library writes it.
func seed(t testing.TB, options ...parquetgo.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquetgo.NewGenericWriter[seedRow](&b, append(options, parquetgo.PageBufferSize(200))...)
	x := 0.5
	for i := range 50 {
		row := seedRow{A: int64(i), C: fmt.Sprint("class ", i%3), D: []string{"x", "y"}[:i%3%2+1], E: i%2 == 0, G: fmt.Sprint("text ", i), H: [][]int32{{1}, {2, 3}}[:i%3]}
		if i%4 != 0 {
			row.B = &x
		}
		if _, err := w.Write([]seedRow{row}); err != nil {
			t.Fatal(err)
		}
		if i == 30 {
			if err := w.Flush(); err != nil { // a row group
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func seeds(t testing.TB) [][]byte {
	return [][]byte{
		seed(t, parquetgo.Compression(&parquetgo.Uncompressed)),
		seed(t, parquetgo.Compression(&parquetgo.Uncompressed), parquetgo.DataPageVersion(1)),
		seed(t, parquetgo.Compression(&parquetgo.Snappy)),
		seed(t, parquetgo.Compression(&parquetgo.Zstd), parquetgo.DataPageVersion(1)),
		seed(t, parquetgo.Compression(&parquetgo.Gzip)),
		seed(t, parquetgo.Compression(&parquetgo.Brotli)),
		seed(t, parquetgo.Compression(&parquetgo.Lz4Raw)),
	}
}

// read reads a file as far as it goes, and of its rows the given number of bytes. It fails on any error but a rejection.
func read(t testing.TB, data []byte, most int64) (n int, rejected *reject.Error) {
	t.Helper()
	o, err := (*observer)(nil), error(nil)
	in := dataset.File{Path: "x.parquet", Size: int64(len(data))}
	f, err := open(in.Path, bytes.NewReader(data), in.Size)
	if err == nil {
		var columns []planned
		if columns, err = f.plan(); err == nil {
			var plain []column
			for _, c := range columns {
				plain = append(plain, c.column)
			}
			if o, err = newObserver(plain, dataset.Options{}); err == nil {
				rows := f.rows(columns)
				rows.most = min(rows.most, most)
				rows.observer, rows.words = o, o.words()
				err = rows.all(t.Context(), func(rows dataset.Rows) error {
					n += len(rows.Ends)
					if len(rows.Labels) != len(rows.Ends) {
						t.Fatalf("%d labels of %d rows", len(rows.Labels), len(rows.Ends))
					}
					return nil
				})
			}
		}
	}
	if err == nil {
		_, err = o.index()
	}
	if err != nil && !errors.As(err, &rejected) {
		t.Fatalf("%v is no rejection", err)
	}
	return n, rejected
}

func TestSeedsAreRead(t *testing.T) {
	for i, data := range seeds(t) {
		if rows, rejected := read(t, data, minOut); rows != 50 || rejected != nil {
			t.Errorf("seed %d: %d rows, %v", i, rows, rejected)
		}
	}
}

// file makes a file of one column of a row group with the pages, and changes its footer.
func hostileFile(t testing.TB, pages []byte, rows int64, change func(*format.FileMetaData)) []byte {
	t.Helper()
	m := format.FileMetaData{
		Version: 1,
		Schema: []format.SchemaElement{
			{Name: "root", NumChildren: thrift.New[int32](1)},
			{Name: "a", Type: thrift.New(format.Int64), RepetitionType: thrift.New(format.Required)},
		},
		NumRows: rows,
		RowGroups: []format.RowGroup{{NumRows: rows, Columns: []format.ColumnChunk{{MetaData: format.ColumnMetaData{
			Type: format.Int64, PathInSchema: []string{"a"}, NumValues: rows, TotalCompressedSize: int64(len(pages)), DataPageOffset: 4,
		}}}}},
	}
	if change != nil {
		change(&m)
	}
	foot, err := thrift.Marshal(new(thrift.CompactProtocol), &m)
	if err != nil {
		t.Fatal(err)
	}
	b := append([]byte(magic), pages...)
	b = append(b, foot...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(foot)))
	return append(b, magic...)
}

// page is a page with its header.
func page(t testing.TB, h format.PageHeader, data []byte) []byte {
	t.Helper()
	h.CompressedPageSize = int32(len(data))
	b, err := thrift.Marshal(new(thrift.CompactProtocol), &h)
	if err != nil {
		t.Fatal(err)
	}
	return append(b, data...)
}

func dataPage(values int32, enc format.Encoding, unpacked int32) format.PageHeader {
	return format.PageHeader{
		Type: format.DataPage, UncompressedPageSize: unpacked,
		DataPageHeader: thrift.New(format.DataPageHeader{NumValues: values, Encoding: enc, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE}),
	}
}

func dictionary(t testing.TB, values int32, data []byte) []byte {
	return page(t, format.PageHeader{
		Type: format.DictionaryPage, UncompressedPageSize: int32(len(data)), DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: values}),
	}, data)
}

func codec(c format.CompressionCodec) func(*format.FileMetaData) {
	return func(m *format.FileMetaData) { m.RowGroups[0].Columns[0].MetaData.Codec = c }
}

func TestHostileFiles(t *testing.T) {
	zeros, err := parquetgo.Gzip.Encode(nil, make([]byte, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	zstd, err := parquetgo.Zstd.Encode(nil, make([]byte, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	// A run of 2^28 indices of no bits.
	run := binary.AppendUvarint([]byte{0}, 1<<29)
	delta := binary.AppendUvarint([]byte{128, 1, 4}, 1<<31-1)
	text := func(m *format.FileMetaData) {
		m.Schema[1].Type = thrift.New(format.ByteArray)
		m.RowGroups[0].Columns[0].MetaData.Type = format.ByteArray
	}
	tests := []struct {
		name   string
		data   []byte
		reason reject.Reason
		says   string
	}{
		{"PAR1PAR1", []byte("PAR1PAR1"), reject.CorruptParquet, "8 bytes"},
		{"a footer longer than the file", []byte("PAR1xxxxxxPAR1PAR1"), reject.CorruptParquet, "footer of 827474256 bytes"},
		{"cut off", seed(t)[:1000], reject.CorruptParquet, "cut off"},
		{"encrypted", []byte("PAR1xxxxxxxx\x04\x00\x00\x00PARE"), reject.UnsupportedParquet, "encrypted"},
		{"a footer of lists of billions", append([]byte("PAR1\x19\xfc\xff\xff\xff\xff\x07"), "\x07\x00\x00\x00PAR1"...), reject.CorruptParquet, "ends early"},
		{"a footer that is nested", append(append([]byte("PAR1"), append(bytes.Repeat([]byte{0x1c}, 1<<20), 0)...), 1, 0, 16, 0, 'P', 'A', 'R', '1'), reject.CorruptParquet, "nested deeper"},
		{"more rows than there are", hostileFile(t, nil, 1<<40, nil), reject.TooLarge, "limit is 8589934592"},
		{"rows without pages", hostileFile(t, nil, 1<<30, nil), reject.CorruptParquet, "less values"},
		{"negative rows", hostileFile(t, nil, -1, nil), reject.TooLarge, "-1"},
		{"a column outside of the file", hostileFile(t, nil, 1, func(m *format.FileMetaData) { m.RowGroups[0].Columns[0].MetaData.TotalCompressedSize = 1 << 40 }), reject.CorruptParquet, "outside"},
		{"columns upon each other", hostileFile(t, make([]byte, 10000), 0, func(m *format.FileMetaData) {
			for range 100 {
				m.RowGroups = append(m.RowGroups, m.RowGroups[0])
			}
		}), reject.CorruptParquet, "upon each other"},
		{"a schema that claims more", hostileFile(t, nil, 0, func(m *format.FileMetaData) { m.Schema[0].NumChildren = thrift.New[int32](1 << 30) }), reject.CorruptParquet, "fewer elements"},
		{"5,000 columns", hostileFile(t, nil, 0, func(m *format.FileMetaData) {
			m.Schema[0].NumChildren = thrift.New[int32](5000)
			for range 4999 {
				m.Schema = append(m.Schema, m.Schema[1])
			}
		}), reject.TooLarge, "limit"},
		{"a deep schema", hostileFile(t, nil, 0, func(m *format.FileMetaData) {
			for range 1000 {
				m.Schema = append([]format.SchemaElement{m.Schema[0]}, m.Schema...)
			}
		}), reject.TooLarge, "deeper"},
		{"a page of 2 GB", hostileFile(t, page(t, dataPage(1, format.Plain, 1<<31-1), make([]byte, 8)), 1, codec(format.Zstd)), reject.TooLarge, "data_page_size"},
		{"a page of 2 billion values", hostileFile(t, page(t, dataPage(1<<31-1, format.Plain, 8), make([]byte, 8)), 1, nil), reject.TooLarge, "values"},
		{"a gzip bomb in a page of 8 bytes", hostileFile(t, page(t, dataPage(1, format.Plain, 8), zeros), 1, codec(format.Gzip)), reject.CorruptParquet, "longer than it says"},
		{"a zstd bomb in a page of 8 bytes", hostileFile(t, page(t, dataPage(1, format.Plain, 8), zstd), 1, codec(format.Zstd)), reject.CorruptParquet, "unpacked"},
		{"a run of 2^28 indices", hostileFile(t, append(dictionary(t, 1, make([]byte, 8)), page(t, dataPage(1, format.RLEDictionary, int32(len(run))), run)...), 1, nil), reject.CorruptParquet, "run of"},
		{"differences of 2^31 values", hostileFile(t, page(t, dataPage(1, format.DeltaBinaryPacked, int32(len(delta)+1)), append(delta, 0)), 1, nil), reject.CorruptParquet, "values"},
		{"an index beyond the dictionary", hostileFile(t, append(dictionary(t, 1, make([]byte, 8)), page(t, dataPage(1, format.RLEDictionary, 3), []byte{8, 2, 7})...), 1, nil), reject.CorruptParquet, "refers to value 7"},
		{"a text longer than its page", hostileFile(t, page(t, dataPage(1, format.Plain, 6), []byte{255, 255, 255, 127, 0, 0}), 1, text), reject.CorruptParquet, "longer than it"},
		{"LZO", hostileFile(t, page(t, dataPage(1, format.Plain, 8), make([]byte, 8)), 1, codec(format.LZO)), reject.UnsupportedParquet, "zstd or snappy"},
		{"a dictionary of 15 MB that all rows refer to", func() []byte {
			word := binary.LittleEndian.AppendUint32(nil, 15<<20)
			word = append(word, make([]byte, 15<<20)...)
			rows := int32(1 << 20)
			run := binary.AppendUvarint([]byte{0}, uint64(rows)<<1)
			return hostileFile(t, append(dictionary(t, 1, word), page(t, dataPage(rows, format.RLEDictionary, int32(len(run))), run)...), int64(rows), text)
		}(), reject.TooLarge, "times its size"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := datasettest.ProcessorTime(t)
			_, rejected := read(t, tt.data, 1<<40)
			if rejected == nil || rejected.Reason != tt.reason || !strings.Contains(rejected.Message, tt.says) {
				t.Errorf("got %v, want %s that says %q", rejected, tt.reason, tt.says)
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
			datasettest.InTime(t, datasettest.ProcessorTime(t)-start)
		})
	}
}

// TestMutants alters bytes of sound files: they are read or refused, and nothing panics.
func TestMutants(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, data := range seeds(t) {
		for range 300 {
			b := bytes.Clone(data)
			for range 1 + r.IntN(3) {
				b[r.IntN(len(b))] = byte(r.IntN(256))
			}
			read(t, b, 1<<20)
		}
	}
}

func TestRowThatIsTooLongIsLeftOut(t *testing.T) {
	type row struct {
		Text  string   `parquet:"text"`
		Texts []string `parquet:"texts,list"`
	}
	long := strings.Repeat("x", dataset.MaxRowBytes/2)
	var b bytes.Buffer
	w := parquetgo.NewGenericWriter[row](&b)
	if _, err := w.Write([]row{{Text: "a"}, {Text: long, Texts: []string{long}}, {Text: "b", Texts: []string{"c", long, long, "d"}}, {Text: "e"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var status []byte
	err := transcode(t.Context(), dataset.File{Path: "x", Size: int64(b.Len())}, bytes.NewReader(b.Bytes()), nil, nil, nil, func(rows dataset.Rows) error {
		start := 0
		for _, end := range rows.Ends {
			status = append(status, rows.Data[start])
			start = end
		}
		return nil
	})
	if err != nil || !bytes.Equal(status, []byte{statusRow, statusLarge, statusLarge, statusRow}) {
		t.Errorf("rows %v, %v", status, err)
	}
}

func FuzzRead(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, data []byte) { read(t, data, 1<<20) })
}
