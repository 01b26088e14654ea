package preflight

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// place is where a request reads from or writes to in S3.
type place struct {
	Use    string // Of whom, for people, such as `channel "train"`.
	Bucket string
	// Key is an object's or, as Prefix tells, what the keys begin with; it may be empty.
	Key    string
	Prefix bool
}

func (p place) String() string { return p.Use + " (s3://" + p.Bucket + "/" + p.Key + ")" }

// sample is a key that the job would read or write.
func (p place) sample() string {
	if p.Prefix && (p.Key == "" || strings.HasSuffix(p.Key, "/")) {
		return p.Key + "preflight"
	}
	return p.Key
}

func placeOf(use string, uri *string, prefix bool) (place, bool) {
	rest, ok := strings.CutPrefix(aws.ToString(uri), "s3://")
	if !ok {
		return place{}, false
	}
	bucket, key, _ := strings.Cut(rest, "/")
	return place{Use: use, Bucket: bucket, Key: key, Prefix: prefix}, bucket != ""
}

// inputs are the channels that S3 holds.
func (s *Subject) inputs() []place {
	var all []place
	for _, ch := range s.Request.InputDataConfig {
		if ch.DataSource == nil || ch.DataSource.S3DataSource == nil {
			continue
		}
		source := ch.DataSource.S3DataSource
		p, ok := placeOf(`channel "`+aws.ToString(ch.ChannelName)+`"`, source.S3Uri, source.S3DataType == types.S3DataTypeS3Prefix)
		if ok {
			all = append(all, p)
		}
	}
	return all
}

// output is where the model goes.
func (s *Subject) output() (place, bool) {
	if s.Request.OutputDataConfig == nil {
		return place{}, false
	}
	p, ok := placeOf("output", s.Request.OutputDataConfig.S3OutputPath, true)
	if p.Key != "" && !strings.HasSuffix(p.Key, "/") {
		p.Key += "/" // SageMaker adds the job's name as a folder.
	}
	return p, ok
}

// checkpoints are where the job's checkpoints go and come from.
func (s *Subject) checkpoints() (place, bool) {
	if s.Request.CheckpointConfig == nil {
		return place{}, false
	}
	p, ok := placeOf("checkpoints", s.Request.CheckpointConfig.S3Uri, true)
	if p.Key != "" && !strings.HasSuffix(p.Key, "/") {
		p.Key += "/"
	}
	return p, ok
}

// account is the account of the job's role, which is the job's, or "".
func (s *Subject) account() string { return account(aws.ToString(s.Request.RoleArn)) }

// machines are instances of one type.
type machines struct {
	Type  string // Such as ml.m5.xlarge.
	Count int32
}

// machines are what the job asks for, summed by type.
func (s *Subject) machines() []machines {
	rc := s.Request.ResourceConfig
	if rc == nil {
		return nil
	}
	var all []machines
	add := func(t types.TrainingInstanceType, n *int32) {
		if t == "" {
			return
		}
		count := max(aws.ToInt32(n), 1)
		for i := range all {
			if all[i].Type == string(t) {
				all[i].Count += count
				return
			}
		}
		all = append(all, machines{string(t), count})
	}
	add(rc.InstanceType, rc.InstanceCount)
	for _, g := range rc.InstanceGroups {
		add(g.InstanceType, g.InstanceCount)
	}
	return all
}

// subnets are the job's, or none if it isn't in a VPC.
func (s *Subject) subnets() []string {
	if s.Request.VpcConfig == nil {
		return nil
	}
	return s.Request.VpcConfig.Subnets
}

// fileSystems are the ids of the job's file systems of a type, each once.
func (s *Subject) fileSystems(kind types.FileSystemType) []string {
	var ids []string
	seen := map[string]bool{}
	for _, ch := range s.Request.InputDataConfig {
		if ch.DataSource == nil || ch.DataSource.FileSystemDataSource == nil {
			continue
		}
		source := ch.DataSource.FileSystemDataSource
		if id := aws.ToString(source.FileSystemId); source.FileSystemType == kind && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// keys are the KMS keys of the request with what each is for: volume, output or both.
func (s *Subject) keys() (ids []string, uses map[string][]string) {
	uses = map[string][]string{}
	add := func(id *string, use string) {
		if key := aws.ToString(id); key != "" {
			if uses[key] == nil {
				ids = append(ids, key)
			}
			uses[key] = append(uses[key], use)
		}
	}
	if rc := s.Request.ResourceConfig; rc != nil {
		add(rc.VolumeKmsKeyId, volumeKey)
	}
	if out := s.Request.OutputDataConfig; out != nil {
		add(out.KmsKeyId, outputKey)
	}
	return ids, uses
}

// What a KMS key is for.
const (
	volumeKey = "volume"
	outputKey = "output"
)

func (s *Subject) image() string {
	if s.Request.AlgorithmSpecification == nil {
		return ""
	}
	return aws.ToString(s.Request.AlgorithmSpecification.TrainingImage)
}

func (s *Subject) role() string { return cmp.Or(aws.ToString(s.Request.RoleArn), "(none)") }

// cantAssume is what SageMaker says when it can't take the job's role.
func (s *Subject) cantAssume() string {
	return fmt.Sprintf("ValidationException: Could not assume role %s. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role.", s.role())
}
