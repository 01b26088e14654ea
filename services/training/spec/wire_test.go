package spec_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
)

// recorder keeps what AWS's SDK would send, and answers as SageMaker does.
type recorder struct {
	host string
	body []byte
}

func (r *recorder) Do(request *http.Request) (*http.Response, error) {
	var err error
	r.host = request.URL.Host
	if r.body, err = io.ReadAll(request.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		Body: io.NopCloser(bytes.NewReader([]byte(`{}`))),
	}, nil
}

// wire gives a request as AWS's SDK sends it, indented, and the host it goes to.
func wire(t testing.TB, input *sagemaker.CreateTrainingJobInput, region string) (body []byte, host string) {
	t.Helper()
	sent := &recorder{}
	client := sagemaker.NewFromConfig(aws.Config{
		Region: region, HTTPClient: sent,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
	if _, err := client.CreateTrainingJob(t.Context(), input); err != nil {
		t.Fatal(err)
	}
	var decoded map[string]any // Marshalled with its keys in order.
	if err := json.Unmarshal(sent.body, &decoded); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(decoded); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), sent.host
}
