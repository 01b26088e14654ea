package parquet

import (
	"encoding/binary"
	"math"
	"math/big"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// maxFixed is the length of the longest fixed-length value, in bytes.
const maxFixed = 1 << 20

// converter turns a physical value, as the specification's PLAIN encoding has it, into a number or bytes of a row.
type converter struct {
	to    kind // kindInt, kindFloat, kindBool or kindBytes
	width int  // of the physical value in bytes; 0: one bit; -1: any
	// of kindInt and kindFloat:
	int   func(v []byte, mul, div int64) int64
	float func(v []byte, scale float64) float64
	mul   int64
	div   int64
	scale float64
	uuid  bool // of kindBytes

	same   bool // an integer that stays as it is
	double bool // a physical DOUBLE
}

func int32Of(v []byte) int64 { return int64(int32(binary.LittleEndian.Uint32(v))) } //nolint:gosec // two's complement
func int64Of(v []byte) int64 { return int64(binary.LittleEndian.Uint64(v)) }        //nolint:gosec // two's complement

const (
	microsPerDay = 24 * 3600 * 1_000_000
	// unixEpoch is the Julian day of 1970-01-01.
	unixEpoch = 2_440_588
)

// int96 is a time as Impala and Spark wrote it: nanoseconds of the day and the Julian day.
func int96(v []byte, _, _ int64) int64 {
	return (int64(binary.LittleEndian.Uint32(v[8:]))-unixEpoch)*microsPerDay + int64Of(v)/1000
}

// times are of a number of units, floored to whole microseconds.
func times(of func([]byte) int64) func([]byte, int64, int64) int64 {
	return func(v []byte, mul, div int64) int64 {
		n := of(v) * mul
		q := n / div
		if n%div < 0 {
			q--
		}
		return q
	}
}

// typed finds out what a leaf's values are.
func (p *planner) typed(n *node) (planned, error) {
	c := planned{node: n}
	set := func(k kind, dtype string, conv converter) (planned, error) {
		c.Kind, c.Type, c.convert = k, dtype, conv
		return c, nil
	}
	text := func() (planned, error) { return set(kindText, "", converter{to: kindBytes, width: -1}) }
	raw := func(width int) (planned, error) { return set(kindBytes, "", converter{to: kindBytes, width: width}) }
	logical := n.element.LogicalType.Value
	if scale, ok := decimalScale(n); ok {
		return p.decimal(c, scale)
	}
	switch n.physical {
	case format.Boolean:
		return set(kindBool, "bool", converter{to: kindBool})
	case format.Int32, format.Int64:
		return p.integer(c)
	case format.Int96:
		c.About = "time in microseconds since 1970-01-01"
		return set(kindInt, "int64", converter{to: kindInt, width: 12, int: int96})
	case format.Float:
		return set(kindFloat, "float32", converter{to: kindFloat, width: 4, float: func(v []byte, _ float64) float64 {
			return float64(math.Float32frombits(binary.LittleEndian.Uint32(v)))
		}})
	case format.Double:
		return set(kindFloat, "float32", converter{to: kindFloat, width: 8, double: true, float: func(v []byte, _ float64) float64 {
			return math.Float64frombits(binary.LittleEndian.Uint64(v))
		}})
	case format.ByteArray:
		switch logical.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			return text()
		}
		if n.converted(deprecated.UTF8) || n.converted(deprecated.Enum) || n.converted(deprecated.Json) {
			return text()
		}
		return raw(-1)
	case format.FixedLenByteArray:
		width := int(n.element.TypeLength.V)
		if width < 1 || width > maxFixed {
			return c, unsupported(p.file.path, "column %q has values of a fixed length of %d bytes; it can be 1 to %d", n.name(), width, maxFixed)
		}
		switch logical.(type) {
		case *format.Float16Type:
			if width == 2 {
				return set(kindFloat, "float32", converter{to: kindFloat, width: 2, float: float16})
			}
		case *format.UUIDType:
			if width == 16 {
				return set(kindText, "", converter{to: kindBytes, width: 16, uuid: true})
			}
		}
		return raw(width)
	}
	return c, unsupported(p.file.path, "column %q has a type that doesn't exist, %d", n.name(), n.physical)
}

// integer is what an INT32 or INT64 means.
func (p *planner) integer(c planned) (planned, error) {
	n := c.node
	conv := converter{to: kindInt, width: 4, same: true, mul: 1, div: 1, int: func(v []byte, _, _ int64) int64 { return int32Of(v) }}
	of := int32Of
	c.Kind, c.Type = kindInt, "int32"
	if n.physical == format.Int64 {
		conv.width, conv.int, of, c.Type = 8, func(v []byte, _, _ int64) int64 { return int64Of(v) }, int64Of, "int64"
	}
	inUnits := func(unit format.TimeUnit, about string) {
		switch unit.Value.(type) {
		case *format.MilliSeconds:
			conv.mul = 1000
		case *format.NanoSeconds:
			conv.div = 1000
		}
		conv.int, conv.same, c.Type, c.About = times(of), false, "int64", about
	}
	const since, ofDay = "time in microseconds since 1970-01-01", "time of day in microseconds"
	switch t := n.element.LogicalType.Value.(type) {
	case *format.TimestampType:
		inUnits(t.Unit, since)
	case *format.TimeType:
		inUnits(t.Unit, ofDay)
	case *format.DateType:
		conv.mul, conv.int, conv.same, c.Type, c.About = microsPerDay, times(of), false, "int64", "date, in microseconds since 1970-01-01"
	case *format.IntType:
		c.Type = intType(n.physical, int(t.BitWidth), t.IsSigned, c.Type)
	case nil:
		if ct := n.element.ConvertedType; ct.Valid {
			switch ct.V {
			case deprecated.Date:
				conv.mul, conv.int, conv.same, c.Type, c.About = microsPerDay, times(of), false, "int64", "date, in microseconds since 1970-01-01"
			case deprecated.TimeMillis:
				inUnits(format.TimeUnit{Value: &format.MilliSeconds{}}, ofDay)
			case deprecated.TimeMicros:
				inUnits(format.TimeUnit{Value: &format.MicroSeconds{}}, ofDay)
			case deprecated.TimestampMillis:
				inUnits(format.TimeUnit{Value: &format.MilliSeconds{}}, since)
			case deprecated.TimestampMicros:
				inUnits(format.TimeUnit{Value: &format.MicroSeconds{}}, since)
			case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
				c.Type = intType(n.physical, 8<<(ct.V-deprecated.Uint8), false, c.Type)
			case deprecated.Int8, deprecated.Int16, deprecated.Int32, deprecated.Int64:
				c.Type = intType(n.physical, 8<<(ct.V-deprecated.Int8), true, c.Type)
			}
		}
	}
	if c.Type == "uint32" && conv.width == 4 {
		conv.int = func(v []byte, _, _ int64) int64 { return int64(binary.LittleEndian.Uint32(v)) }
	}
	c.convert = conv
	return c, nil
}

// intType is the type that an annotation gives. The specification annotates INT32 with 8 to 32 bits, and INT64 with 64.
func intType(physical format.Type, bits int, signed bool, otherwise string) string {
	name := map[int]string{8: "int8", 16: "int16", 32: "int32", 64: "int64"}[bits]
	switch {
	case name == "", physical == format.Int64 && bits < 64:
		return otherwise
	case signed:
		return name
	}
	return "u" + name
}

func decimalScale(n *node) (int, bool) {
	if d, ok := n.element.LogicalType.Value.(*format.DecimalType); ok {
		return int(d.Scale), true
	}
	return int(n.element.Scale.V), n.element.LogicalType.Value == nil && n.converted(deprecated.Decimal)
}

// decimal makes floats of decimals, because training wants numbers; as float32 they keep about seven digits.
func (p *planner) decimal(c planned, scale int) (planned, error) {
	if scale < -308 || scale > 308 {
		return c, unsupported(p.file.path, "column %q has a decimal scale of %d; it can be -308 to 308", c.node.name(), scale)
	}
	conv := converter{to: kindFloat, scale: math.Pow10(scale)}
	switch c.node.physical {
	case format.Int32:
		conv.width, conv.float = 4, func(v []byte, s float64) float64 { return float64(int32Of(v)) / s }
	case format.Int64:
		conv.width, conv.float = 8, func(v []byte, s float64) float64 { return float64(int64Of(v)) / s }
	case format.ByteArray, format.FixedLenByteArray:
		conv.width, conv.float = -1, func(v []byte, s float64) float64 { return bigEndian(v) / s }
		if c.node.physical == format.FixedLenByteArray {
			if conv.width = int(c.node.element.TypeLength.V); conv.width < 1 || conv.width > maxFixed {
				return c, unsupported(p.file.path, "column %q has decimals of %d bytes; it can be 1 to %d", c.node.name(), conv.width, maxFixed)
			}
		}
	default:
		return c, corrupt(p.file.path, "column %q has decimals of a type that can't be", c.node.name())
	}
	c.Kind, c.Type, c.convert = kindFloat, "float32", conv
	return c, nil
}

// maxDecimal is the length of the largest decimal that is below float64's largest number, in bytes. A longer one counts as infinite.
const maxDecimal = 128

// bigEndian is a number in two's complement.
func bigEndian(v []byte) float64 {
	switch {
	case len(v) == 0:
		return 0
	case len(v) <= 8:
		n := uint64(0)
		if v[0]&0x80 != 0 {
			n = math.MaxUint64
		}
		for _, b := range v {
			n = n<<8 | uint64(b)
		}
		return float64(int64(n)) //nolint:gosec // two's complement
	case len(v) > maxDecimal:
		return math.Inf(1 - int(v[0]>>7)*2)
	}
	n := new(big.Int).SetBytes(v)
	if v[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(v)))) //nolint:gosec // never negative
	}
	x, _ := new(big.Float).SetInt(n).Float64()
	return x
}

// float16 is IEEE 754's half precision.
func float16(v []byte, _ float64) float64 {
	h := binary.LittleEndian.Uint16(v)
	sign := 1 - 2*float64(h>>15)
	exp, frac := int(h>>10&31), float64(h&1023)
	switch exp {
	case 0:
		return sign * math.Ldexp(frac, -24)
	case 31:
		if frac != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}
