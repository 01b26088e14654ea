package price

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Load reads an operator's file over the built-in values; no path means those alone.
func Load(path string) (*Table, error) {
	if path == "" {
		return Parse(nil)
	}
	data, err := os.ReadFile(path) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, fmt.Errorf("prices: %w", err)
	}
	t, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("prices of %s: %w", path, err)
	}
	return t, nil
}

// Parse reads YAML or JSON over the built-in values. An unknown key, a negative price or a throughput of zero is an error.
func Parse(data []byte) (*Table, error) {
	var file struct {
		Regions map[string]regional `yaml:"regions"`
		Times   map[string]float64  `yaml:"times"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data)) // JSON is YAML as well.
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it must hold one document, with regions and times")
	}
	for name, r := range file.Regions {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("regions.%s.%w", name, err)
		}
	}
	times, err := timesOf(file.Times)
	if err != nil {
		return nil, err
	}
	return &Table{regions: file.Regions, times: times}, nil
}

var currency = regexp.MustCompile(`^[A-Z]{3}$`)

// check tells what is wrong; its errors begin with the key.
func (r regional) check() error {
	if r.Currency != "" && !currency.MatchString(r.Currency) {
		return fmt.Errorf("currency %q must be three capitals, such as USD", r.Currency)
	}
	if !(r.SpotShare >= 0 && r.SpotShare <= 1) { // NaN is neither.
		return fmt.Errorf("spot_share %g must be more than 0 and at most 1; leave it out for the default", r.SpotShare)
	}
	for name, amount := range r.Instances {
		if !strings.HasPrefix(name, "ml.") {
			return fmt.Errorf("instances: %q must be one of SageMaker's types, such as ml.m5.xlarge", name)
		}
		if !isPrice(amount) {
			return fmt.Errorf("instances.%s %g must be a price, 0 or more", name, amount)
		}
	}
	for storage, amount := range r.Storage {
		if storage != S3 && storage != EFS && storage != FSxLustre {
			return fmt.Errorf("storage: %q must be %s, %s or %s", storage, S3, EFS, FSxLustre)
		}
		if !isPrice(amount) {
			return fmt.Errorf("storage.%s %g must be a price, 0 or more", storage, amount)
		}
	}
	return nil
}

func isPrice(amount float64) bool { return amount >= 0 && !math.IsInf(amount, 0) }

// checkTime tells whether a throughput or a time can be: estimates divide by throughputs.
func checkTime(key string, value float64) error {
	switch {
	case !isPrice(value):
		return fmt.Errorf("times.%s %g must be 0 or more", key, value)
	case value == 0 && strings.Contains(key, "_mb_per_second"):
		return fmt.Errorf("times.%s must be more than 0", key)
	}
	return nil
}
