package preflight

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestReadmeIsWhole: its table has every check, and its policy allows exactly what the clients can call.
func TestReadmeIsWhole(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, name := range Names() {
		if !strings.Contains(text, "\n| `"+name+"` |") {
			t.Errorf("the table lacks %s", name)
		}
	}

	_, policy, _ := strings.Cut(text, "```json\n")
	policy, _, _ = strings.Cut(policy, "```")
	var statements []Statement
	if err := json.Unmarshal([]byte(policy), &statements); err != nil {
		t.Fatal(err)
	}
	var has, wants []string
	for _, s := range statements {
		has = append(has, s.Action...)
	}
	services := map[string]string{"Quotas": "Service Quotas"} // Others are named as the SDK names them.
	for _, client := range reflect.VisibleFields(reflect.TypeFor[Clients]()) {
		service := client.Name
		if other, ok := services[service]; ok {
			service = other
		}
		for i := range client.Type.NumMethod() {
			wants = append(wants, iamAction(refused(service, client.Type.Method(i).Name, "", "")))
		}
	}
	slices.Sort(has)
	slices.Sort(wants)
	if !slices.Equal(has, wants) {
		t.Errorf("the policy allows\n%v\nthe checks call\n%v", has, wants)
	}
}
