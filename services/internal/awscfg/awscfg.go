// Package awscfg makes the one aws.Config of a process, from which wiring makes every AWS client.
package awscfg

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Config says where AWS is. The zero value means AWS itself, with the SDK's usual sources of region and credentials.
type Config struct {
	Region    string `help:"AWS region; empty means the SDK's own sources."`
	Endpoint  string `help:"AWS endpoint to use instead of AWS, such as http://127.0.0.1:4566 of localcloud."`
	AccessKey string `help:"Access key; empty means the SDK's own sources. Meant for localcloud."`
	SecretKey string `help:"Secret key, with --aws-access-key."`
	// PublicEndpoint is for the URLs that users get; services reach S3 by Endpoint.
	PublicEndpoint string `help:"S3 endpoint that signed URLs show, where users reach it by another address than the services."`
}

// Load makes the aws.Config. LoadDefaultConfig is used even with an endpoint of our own, because a hand-made aws.Config leaves
// RequestChecksumCalculation unset.
func Load(ctx context.Context, cfg Config) (aws.Config, error) {
	var options []func(*config.LoadOptions) error
	if cfg.Region != "" {
		options = append(options, config.WithRegion(cfg.Region))
	}
	if cfg.Endpoint != "" {
		options = append(options, config.WithBaseEndpoint(cfg.Endpoint))
	}
	if cfg.AccessKey != "" {
		options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, "")))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("aws configuration: %w", err)
	}
	if loaded.Region == "" {
		return aws.Config{}, fmt.Errorf("aws configuration: no region; set --aws-region or AWS_REGION")
	}
	return loaded, nil
}

// S3 makes an S3 client. With an endpoint of our own it uses path style, because bucket.127.0.0.1 is no name.
func S3(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = cfg.BaseEndpoint != nil })
}

// Presigner signs S3 URLs. Those that write bind the headers of the call: a checksum that were hoisted into the query would be signed but not
// enforced. Those that read have no headers at all, so that a browser can follow them.
type Presigner struct {
	read, write *s3.PresignClient
}

// NewPresigner makes a Presigner. With an endpoint the URLs show that one instead of the configuration's, for clients that
// reach S3 under another address.
func NewPresigner(cfg aws.Config, endpoint string) *Presigner {
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
		o.UsePathStyle = o.BaseEndpoint != nil
	})
	return &Presigner{read: s3.NewPresignClient(client), write: s3.NewPresignClient(client, func(o *s3.PresignOptions) {
		o.Presigner = v4.NewSigner(func(o *v4.SignerOptions) {
			o.DisableHeaderHoisting = true
			o.DisableURIPathEscaping = true // S3 signs the path as it is sent.
		})
	})}
}

// PresignGetObject signs a download.
func (p *Presigner) PresignGetObject(ctx context.Context, in *s3.GetObjectInput, options ...func(*s3.PresignOptions)) (*v4.PresignedHTTPRequest, error) {
	return p.read.PresignGetObject(ctx, in, options...)
}

// PresignPutObject signs an upload; the headers in the result must be sent.
func (p *Presigner) PresignPutObject(ctx context.Context, in *s3.PutObjectInput, options ...func(*s3.PresignOptions)) (*v4.PresignedHTTPRequest, error) {
	return p.write.PresignPutObject(ctx, in, options...)
}

// PresignUploadPart signs the upload of a part; the headers in the result must be sent.
func (p *Presigner) PresignUploadPart(ctx context.Context, in *s3.UploadPartInput, options ...func(*s3.PresignOptions)) (*v4.PresignedHTTPRequest, error) {
	return p.write.PresignUploadPart(ctx, in, options...)
}
