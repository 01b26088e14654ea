package price_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/training/price"
)

const configured = `
regions:
  us-east-1:
    instances: {ml.c5.xlarge: 0.2, ml.g5.xlarge: 1.5}
  eu-central-1:
    currency: EUR
    storage: {efs: 0.33}
  cn-north-1:
    spot_share: 0.5
    instances: {ml.m5.xlarge: 2.1}
times: {file_mb_per_second: 200}
`

func TestPrices(t *testing.T) {
	table, err := price.Parse([]byte(configured))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		got      price.Money
		amount   float64
		currency string
		known    bool
		says     string
	}{
		"built in":                    {table.Hourly("us-east-1", "ml.m5.xlarge"), 0.23, "USD", true, "ml.m5.xlarge in us-east-1: 0.23 USD an hour (built in)"},
		"configured over built in":    {table.Hourly("us-east-1", "ml.g5.xlarge"), 1.5, "USD", true, "(configured)"},
		"another region":              {table.Hourly("eu-west-1", "ml.m5.xlarge"), 0.23, "USD", true, "(built in for us-east-1, assumed to be the same here)"},
		"another region, configured":  {table.Hourly("eu-west-1", "ml.c5.xlarge"), 0.2, "USD", true, "(configured for us-east-1, assumed to be the same here)"},
		"another currency":            {table.Hourly("eu-central-1", "ml.m5.xlarge"), 0, "EUR", false, "set regions.eu-central-1.instances.ml.m5.xlarge"},
		"China, not configured":       {table.Hourly("cn-north-1", "ml.g5.xlarge"), 0, "CNY", false, "set regions.cn-north-1.instances.ml.g5.xlarge"},
		"China, configured":           {table.Hourly("cn-north-1", "ml.m5.xlarge"), 2.1, "CNY", true, "2.1 CNY an hour (configured)"},
		"GovCloud":                    {table.Hourly("us-gov-west-1", "ml.m5.xlarge"), 0, "USD", false, "no price is known"},
		"unlisted type":               {table.Hourly("us-east-1", "ml.x9.large"), 0, "USD", false, "no price is known"},
		"storage":                     {table.StoragePerGBMonth("us-east-1", price.FSxLustre), 0.145, "USD", true, "fsx-lustre in us-east-1: 0.145 USD a GB-month (built in)"},
		"storage, configured":         {table.StoragePerGBMonth("eu-central-1", price.EFS), 0.33, "EUR", true, "(configured)"},
		"storage in China is unknown": {table.StoragePerGBMonth("cn-north-1", price.S3), 0, "CNY", false, "storage.s3"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.got.Amount != test.amount || test.got.Currency != test.currency || test.got.Known != test.known || !strings.Contains(test.got.Source, test.says) {
				t.Errorf("got %+v", test.got)
			}
		})
	}
	if share := table.SpotShare("cn-north-1"); share.Value != 0.5 || !strings.Contains(share.Source, "configured") {
		t.Errorf("spot share %+v", share)
	}
	if share := table.SpotShare("us-east-1"); share.Value <= 0 || share.Value >= 1 || !strings.Contains(share.Source, "assumption") {
		t.Errorf("spot share %+v", share)
	}
	if f := table.Times().FileMBPerSecond; f.Value != 200 || f.Source != "File mode copies 200 MB/s (configured)" {
		t.Errorf("got %+v", f)
	}
}

func TestEveryTimeHasAValueAndASource(t *testing.T) {
	table, err := price.Load("")
	if err != nil {
		t.Fatal(err)
	}
	times := reflect.ValueOf(table.Times())
	for i := range times.NumField() {
		if f := times.Field(i).Interface().(price.Figure); f.Value <= 0 || !strings.Contains(f.Source, "(built in") {
			t.Errorf("%s is %+v", times.Type().Field(i).Name, f)
		}
	}
}

func TestFileIsReadStrictly(t *testing.T) {
	for name, test := range map[string]struct{ file, says string }{
		"unknown key":        {"region: {}", "region"},
		"unknown time":       {"times: {queue: 3}", "times.queue is unknown; there are queue_seconds"},
		"negative price":     {"regions: {us-east-1: {instances: {ml.m5.xlarge: -1}}}", "regions.us-east-1.instances.ml.m5.xlarge -1"},
		"not a price":        {"regions: {us-east-1: {instances: {ml.m5.xlarge: .nan}}}", "must be a price"},
		"no SageMaker type":  {"regions: {us-east-1: {instances: {m5.xlarge: 1}}}", "ml.m5.xlarge"},
		"unknown storage":    {"regions: {us-east-1: {storage: {ebs: 1}}}", `storage: "ebs"`},
		"currency":           {"regions: {us-east-1: {currency: $}}", "currency"},
		"spot share":         {"regions: {us-east-1: {spot_share: 1.5}}", "spot_share 1.5"},
		"throughput of zero": {"times: {efs_mb_per_second: 0}", "more than 0"},
		"two documents":      {"times: {}\n---\ntimes: {}", "one document"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "prices.yaml")
			if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := price.Load(path); err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := price.Load(filepath.Join(t.TempDir(), "missing.yaml")); err == nil {
		t.Error("a missing file was taken for an empty one")
	}
}
