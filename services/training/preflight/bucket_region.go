package preflight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// bucketRegionCheck looks where the job's buckets are: SageMaker reads and writes only those of its own region.
func bucketRegionCheck() Check {
	return Check{Name: "bucket-region", Title: "Buckets in the job's region", Run: runBucketRegion}
}

func runBucketRegion(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	client, err := c.s3()
	if err != nil {
		return Result{}, err
	}
	places := s.inputs()
	if p, ok := s.output(); ok {
		places = append(places, p)
	}
	if p, ok := s.checkpoints(); ok {
		places = append(places, p)
	}
	if len(places) == 0 {
		return skipped("the job uses no bucket")
	}
	var f findings
	var failed error
	asked := map[string]bool{}
	prevents := ""
	for _, p := range places {
		if asked[p.Bucket] {
			continue
		}
		asked[p.Bucket] = true
		in, there, err := bucketRegion(ctx, client, p.Bucket)
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case there && in == "":
			f.ok("bucket %s is there; S3 doesn't tell its region", p.Bucket)
		case in == s.Region:
			f.ok("bucket %s is in %s", p.Bucket, in)
		default:
			seen := fmt.Sprintf("bucket %s of the %s is in %s, the job in %s", p.Bucket, p.Use, in, s.Region)
			if !there {
				seen = fmt.Sprintf("there is no bucket %s, of the %s", p.Bucket, p.Use)
			}
			f.fail(seen, "copy the data to a bucket in "+s.Region+", or run the job where the bucket is",
				fmt.Sprintf("aws s3 mb s3://%s-%s --region %s\naws s3 sync s3://%s/%s s3://%s-%s/%s --source-region %s --region %s",
					p.Bucket, s.Region, s.Region, p.Bucket, p.Key, p.Bucket, s.Region, p.Key, cmp.Or(in, s.Region), s.Region))
			prevents = bucketError(p, s, there)
		}
	}
	return f.result(cmp.Or(prevents, bucketError(places[0], s, true))), failed
}

// bucketRegion asks S3 whether a bucket is there and in which region. S3 tells the region even when it refuses: a bucket elsewhere gives a
// redirect and a bucket of others a 403, both with the header. What only speaks S3 may not tell it at all.
func bucketRegion(ctx context.Context, client S3, bucket string) (in string, there bool, err error) {
	out, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket})
	if err == nil {
		return aws.ToString(out.BucketRegion), true, nil
	}
	if in := responseHeader(err, "X-Amz-Bucket-Region"); in != "" {
		return in, true, nil
	}
	if code := errorCode(err); code == "NotFound" || code == "NoSuchBucket" {
		return "", false, nil
	}
	return "", false, err
}

// bucketError is SageMaker's own text for an input, and S3's where the job writes.
func bucketError(p place, s *Subject, there bool) string {
	switch {
	case slices.Contains(s.inputs(), p):
		return fmt.Sprintf(`No S3 objects found under S3 URL "s3://%s/%s" given in input data source. Please ensure that the bucket exists in the selected region (%s), that objects exist under that S3 prefix, and that the role %q has "s3:ListBucket" permissions on bucket %q.`,
			p.Bucket, p.Key, s.Region, s.role(), p.Bucket)
	case there:
		return "PermanentRedirect: The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint."
	}
	return "NoSuchBucket: The specified bucket does not exist"
}
