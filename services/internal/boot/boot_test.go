package boot

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func TestConfigurationFileRefusesUnknownKeys(t *testing.T) {
	var config struct {
		Grpc string `default:"x"`
	}
	for name, test := range map[string]struct{ file, want string }{
		"known":   {`{"grpc": "127.0.0.1:1"}`, ""},
		"unknown": {`{"grcp": "127.0.0.1:1"}`, `unknown key "grcp"`},
	} {
		t.Run(name, func(t *testing.T) {
			resolver, err := strictJSON(strings.NewReader(test.file))
			if err != nil {
				t.Fatal(err)
			}
			parser, err := kong.New(&config, kong.Resolvers(resolver))
			if err != nil {
				t.Fatal(err)
			}
			_, err = parser.Parse(nil)
			if test.want == "" {
				if err != nil || config.Grpc != "127.0.0.1:1" {
					t.Fatalf("got %q, %v", config.Grpc, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %s", err, test.want)
			}
		})
	}
}
