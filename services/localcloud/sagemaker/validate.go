package sagemaker

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/localcloud/awsjson"
	"github.com/trainyard/trainyard/services/localcloud/fault"
)

// The limits are those of SageMaker's service model, sagemaker-2017-07-24, as SDKs carry it.
const (
	maxRuntimeLimit   = 28 * 24 * 3600 // seconds
	defaultMaxRuntime = 24 * 3600      // seconds
)

var (
	jobName        = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$`)
	roleARN        = regexp.MustCompile(`^arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)
	s3URI          = regexp.MustCompile(`^(https|s3)://([^/]+)/?(.*)$`)
	channelName    = regexp.MustCompile(`^[A-Za-z0-9\.\-_]+$`)
	fileSystemID   = regexp.MustCompile(`^(fs-[0-9a-f]{8,})$`)
	environmentKey = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	tagText        = regexp.MustCompile(`^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`)
	kmsKey         = regexp.MustCompile(`^[a-zA-Z0-9:/_-]*$`)
	securityGroup  = regexp.MustCompile(`^[-0-9a-zA-Z]+$`)
	resourceARN    = regexp.MustCompile(`^arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:.+$`)
)

func invalid(format string, args ...any) error {
	return awsjson.Errorf("ValidationException", format, args...)
}

// violations collects what the service model forbids, in AWS's words: all of them are reported at once.
type violations []string

func (v *violations) add(value any, at, constraint string, args ...any) {
	shown := "null"
	if value != nil {
		shown = fmt.Sprintf("'%v'", value)
	}
	*v = append(*v, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", shown, at, fmt.Sprintf(constraint, args...)))
}

func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	noun := "errors"
	if len(v) == 1 {
		noun = "error"
	}
	return invalid("%d validation %s detected: %s", len(v), noun, strings.Join(v, "; "))
}

func (v *violations) required(at string, present bool) bool {
	if !present {
		v.add(nil, at, "Member must not be null")
	}
	return present
}

// text checks a string if it is given. pattern may be nil.
func (v *violations) text(at string, s *string, shortest, longest int, pattern *regexp.Regexp) {
	if s == nil {
		return
	}
	n := utf8.RuneCountInString(*s)
	if n < shortest {
		v.add(*s, at, "Member must have length greater than or equal to %d", shortest)
	}
	if n > longest {
		v.add(*s, at, "Member must have length less than or equal to %d", longest)
	}
	if pattern != nil && !pattern.MatchString(*s) {
		v.add(*s, at, "Member must satisfy regular expression pattern: %s", pattern)
	}
}

func (v *violations) needText(at string, s *string, shortest, longest int, pattern *regexp.Regexp) {
	if v.required(at, s != nil) {
		v.text(at, s, shortest, longest, pattern)
	}
}

func (v *violations) count(at string, n, least, most int) {
	if n < least {
		v.add(fmt.Sprintf("%d entries", n), at, "Member must have length greater than or equal to %d", least)
	}
	if n > most {
		v.add(fmt.Sprintf("%d entries", n), at, "Member must have length less than or equal to %d", most)
	}
}

func (v *violations) number(at string, n *int32, least, most int32) {
	if n == nil {
		return
	}
	if *n < least {
		v.add(*n, at, "Member must have value greater than or equal to %d", least)
	}
	if *n > most {
		v.add(*n, at, "Member must have value less than or equal to %d", most)
	}
}

const noLimit = 1<<31 - 1

// enum checks a value against the SDK's list of them; an empty one counts as absent.
func enum[E ~string](v *violations, at string, value E, all []E) {
	if value == "" || slices.Contains(all, value) {
		return
	}
	names := make([]string, len(all))
	for i, e := range all {
		names[i] = string(e)
	}
	v.add(value, at, "Member must satisfy enum value set: [%s]", strings.Join(names, ", "))
}

func needEnum[E ~string](v *violations, at string, value E, all []E) {
	if v.required(at, value != "") {
		enum(v, at, value, all)
	}
}

// checkModel checks what the service model says of CreateTrainingJob's shape.
func checkModel(in *sdk.CreateTrainingJobInput) error {
	v := new(violations)
	v.needText("trainingJobName", in.TrainingJobName, 1, 63, jobName)
	v.needText("roleArn", in.RoleArn, 20, 2048, roleARN)
	if v.required("outputDataConfig", in.OutputDataConfig != nil) {
		v.needText("outputDataConfig.s3OutputPath", in.OutputDataConfig.S3OutputPath, 0, 1024, s3URI)
		v.text("outputDataConfig.kmsKeyId", in.OutputDataConfig.KmsKeyId, 0, 2048, kmsKey)
		enum(v, "outputDataConfig.compressionType", in.OutputDataConfig.CompressionType, types.OutputCompressionType("").Values())
	}
	v.count("hyperParameters", len(in.HyperParameters), 0, 100)
	for key, value := range in.HyperParameters {
		v.text("hyperParameters", &key, 0, 256, nil)
		v.text("hyperParameters."+key, &value, 0, 2500, nil)
	}
	v.count("environment", len(in.Environment), 0, 100)
	for key, value := range in.Environment {
		v.text("environment", &key, 0, 512, environmentKey)
		v.text("environment."+key, &value, 0, 512, nil)
	}
	v.tags(in.Tags)
	if a := in.AlgorithmSpecification; a != nil {
		v.algorithm(a)
	}
	if in.InputDataConfig != nil {
		v.count("inputDataConfig", len(in.InputDataConfig), 1, 20)
	}
	for i := range in.InputDataConfig {
		v.channel(fmt.Sprintf("inputDataConfig.%d.member", i+1), &in.InputDataConfig[i])
	}
	if r := in.ResourceConfig; r != nil {
		enum(v, "resourceConfig.instanceType", r.InstanceType, types.TrainingInstanceType("").Values())
		v.number("resourceConfig.instanceCount", r.InstanceCount, 0, noLimit)
		v.number("resourceConfig.volumeSizeInGB", r.VolumeSizeInGB, 0, noLimit)
		v.number("resourceConfig.keepAlivePeriodInSeconds", r.KeepAlivePeriodInSeconds, 0, 21600)
		v.text("resourceConfig.volumeKmsKeyId", r.VolumeKmsKeyId, 0, 2048, kmsKey)
		v.count("resourceConfig.instanceGroups", len(r.InstanceGroups), 0, 5)
	}
	if c := in.VpcConfig; c != nil {
		v.count("vpcConfig.securityGroupIds", len(c.SecurityGroupIds), 1, 5)
		v.count("vpcConfig.subnets", len(c.Subnets), 1, 16)
		for i := range c.SecurityGroupIds {
			v.text(fmt.Sprintf("vpcConfig.securityGroupIds.%d.member", i+1), &c.SecurityGroupIds[i], 0, 32, securityGroup)
		}
		for i := range c.Subnets {
			v.text(fmt.Sprintf("vpcConfig.subnets.%d.member", i+1), &c.Subnets[i], 0, 32, securityGroup)
		}
	}
	if c := in.StoppingCondition; c != nil {
		v.number("stoppingCondition.maxRuntimeInSeconds", c.MaxRuntimeInSeconds, 1, noLimit)
		v.number("stoppingCondition.maxWaitTimeInSeconds", c.MaxWaitTimeInSeconds, 1, noLimit)
		v.number("stoppingCondition.maxPendingTimeInSeconds", c.MaxPendingTimeInSeconds, 1800, maxRuntimeLimit)
	}
	if c := in.CheckpointConfig; c != nil {
		v.needText("checkpointConfig.s3Uri", c.S3Uri, 0, 1024, s3URI)
		v.text("checkpointConfig.localPath", c.LocalPath, 0, 4096, nil)
	}
	if r := in.RetryStrategy; r != nil {
		if v.required("retryStrategy.maximumRetryAttempts", r.MaximumRetryAttempts != nil) {
			v.number("retryStrategy.maximumRetryAttempts", r.MaximumRetryAttempts, 1, 30)
		}
	}
	return v.err()
}

func (v *violations) algorithm(a *types.AlgorithmSpecification) {
	const at = "algorithmSpecification."
	needEnum(v, at+"trainingInputMode", a.TrainingInputMode, types.TrainingInputMode("").Values())
	v.text(at+"trainingImage", a.TrainingImage, 0, 255, nil)
	v.text(at+"algorithmName", a.AlgorithmName, 1, 170, nil)
	v.count(at+"metricDefinitions", len(a.MetricDefinitions), 0, 40)
	for i, m := range a.MetricDefinitions {
		member := fmt.Sprintf("%smetricDefinitions.%d.member.", at, i+1)
		v.needText(member+"name", m.Name, 1, 255, nil)
		v.needText(member+"regex", m.Regex, 1, 500, nil)
	}
	for name, list := range map[string][]string{"containerEntrypoint": a.ContainerEntrypoint, "containerArguments": a.ContainerArguments} {
		if list != nil {
			v.count(at+name, len(list), 1, 100)
		}
		for i := range list {
			v.text(fmt.Sprintf("%s%s.%d.member", at, name, i+1), &list[i], 0, 256, nil)
		}
	}
}

func (v *violations) channel(at string, c *types.Channel) {
	v.needText(at+".channelName", c.ChannelName, 1, 64, channelName)
	v.text(at+".contentType", c.ContentType, 0, 256, nil)
	enum(v, at+".inputMode", c.InputMode, types.TrainingInputMode("").Values())
	enum(v, at+".compressionType", c.CompressionType, types.CompressionType("").Values())
	enum(v, at+".recordWrapperType", c.RecordWrapperType, types.RecordWrapper("").Values())
	if c.ShuffleConfig != nil {
		v.required(at+".shuffleConfig.seed", c.ShuffleConfig.Seed != nil)
	}
	if !v.required(at+".dataSource", c.DataSource != nil) {
		return
	}
	if d := c.DataSource.S3DataSource; d != nil {
		needEnum(v, at+".dataSource.s3DataSource.s3DataType", d.S3DataType, types.S3DataType("").Values())
		v.needText(at+".dataSource.s3DataSource.s3Uri", d.S3Uri, 0, 1024, s3URI)
		enum(v, at+".dataSource.s3DataSource.s3DataDistributionType", d.S3DataDistributionType, types.S3DataDistribution("").Values())
	}
	if d := c.DataSource.FileSystemDataSource; d != nil {
		v.needText(at+".dataSource.fileSystemDataSource.fileSystemId", d.FileSystemId, 11, 21, fileSystemID)
		needEnum(v, at+".dataSource.fileSystemDataSource.fileSystemType", d.FileSystemType, types.FileSystemType("").Values())
		needEnum(v, at+".dataSource.fileSystemDataSource.fileSystemAccessMode", d.FileSystemAccessMode, types.FileSystemAccessMode("").Values())
		v.needText(at+".dataSource.fileSystemDataSource.directoryPath", d.DirectoryPath, 0, 4096, nil)
	}
}

func (v *violations) tags(tags []types.Tag) {
	v.count("tags", len(tags), 0, 50)
	for i, t := range tags {
		v.needText(fmt.Sprintf("tags.%d.member.key", i+1), t.Key, 1, 128, tagText)
		v.needText(fmt.Sprintf("tags.%d.member.value", i+1), t.Value, 0, 256, tagText)
	}
}

// checkRules checks what the service refuses beyond its model, and what localcloud can't do.
func (s *Service) checkRules(in *sdk.CreateTrainingJobInput) error {
	if in.ServerlessJobConfig != nil {
		return invalid("localcloud runs training images only: leave ServerlessJobConfig out.")
	}
	a := in.AlgorithmSpecification
	switch {
	case a == nil || a.TrainingImage == nil && a.AlgorithmName == nil:
		return invalid("You must provide either AlgorithmSpecification.TrainingImage or AlgorithmSpecification.AlgorithmName.")
	case a.TrainingImage != nil && a.AlgorithmName != nil:
		return invalid("You can't specify both TrainingImage and AlgorithmName in AlgorithmSpecification.")
	case a.AlgorithmName != nil:
		return invalid("localcloud has no algorithms by name: give AlgorithmSpecification.TrainingImage.")
	}
	for _, m := range a.MetricDefinitions {
		if re, err := regexp.Compile(*m.Regex); err != nil {
			return invalid("Invalid regular expression for metric %s: %v", *m.Name, err)
		} else if re.NumSubexp() < 1 {
			return invalid("Invalid regular expression for metric %s: it needs a capture group around the value.", *m.Name)
		}
	}
	if err := s.checkResources(in); err != nil {
		return err
	}
	if _, err := s.faultsOf(in); err != nil {
		return err
	}
	if _, _, err := parseS3URI(*in.OutputDataConfig.S3OutputPath); err != nil {
		return err
	}
	if c := in.CheckpointConfig; c != nil {
		if _, _, err := parseS3URI(*c.S3Uri); err != nil {
			return err
		}
		if _, ok := underOptML(checkpointPath(in)); !ok {
			return invalid("localcloud keeps checkpoints under /opt/ml only: CheckpointConfig.LocalPath is %q.", *c.LocalPath)
		}
	}
	seen := map[string]bool{}
	for i := range in.InputDataConfig {
		c := &in.InputDataConfig[i]
		if seen[*c.ChannelName] {
			return invalid("Channel names must be unique: %s is given twice.", *c.ChannelName)
		}
		seen[*c.ChannelName] = true
		if err := s.checkChannel(in, c); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) checkResources(in *sdk.CreateTrainingJobInput) error {
	r := in.ResourceConfig
	if r == nil {
		return invalid("ResourceConfig is required.")
	}
	if len(r.InstanceGroups) > 0 {
		return invalid("localcloud runs instances of one type: give ResourceConfig.InstanceType and InstanceCount instead of InstanceGroups.")
	}
	if r.InstanceType == "" || r.InstanceCount == nil || *r.InstanceCount < 1 {
		return invalid("ResourceConfig must have an InstanceType and an InstanceCount of at least 1.")
	}
	if n := int(*r.InstanceCount); n > s.cfg.MaxInstances {
		return fault.LimitExceeded(string(r.InstanceType), s.cfg.MaxInstances, 0, n)
	}
	spot := isSpot(in)
	runtime, wait := int32(defaultMaxRuntime), (*int32)(nil)
	if c := in.StoppingCondition; c != nil {
		if c.MaxRuntimeInSeconds != nil {
			runtime = *c.MaxRuntimeInSeconds
		}
		wait = c.MaxWaitTimeInSeconds
	}
	switch {
	case runtime > maxRuntimeLimit:
		return invalid("Invalid MaxRuntimeInSeconds. It must be less than or equal to %d (28 days).", maxRuntimeLimit)
	case spot && (wait == nil || *wait < runtime):
		return invalid("Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds")
	case !spot && wait != nil:
		return invalid("MaxWaitTimeInSeconds is only valid when EnableManagedSpotTraining is true.")
	case spot && r.KeepAlivePeriodInSeconds != nil && *r.KeepAlivePeriodInSeconds > 0:
		return invalid("KeepAlivePeriodInSeconds is not supported with managed spot training.")
	}
	return nil
}

func (s *Service) checkChannel(in *sdk.CreateTrainingJobInput, c *types.Channel) error {
	pipe := inputMode(in, c) == types.TrainingInputModePipe
	d := c.DataSource
	switch {
	case d.DatasetSource != nil:
		return invalid("localcloud has no hub datasets (channel %s): use S3DataSource or FileSystemDataSource.", *c.ChannelName)
	case (d.S3DataSource == nil) == (d.FileSystemDataSource == nil):
		return invalid("Channel %s must have exactly one of S3DataSource and FileSystemDataSource.", *c.ChannelName)
	case pipe && c.RecordWrapperType == types.RecordWrapperRecordio:
		return invalid("localcloud doesn't wrap objects as RecordIO (channel %s): leave RecordWrapperType out and store records that tell where they end, such as TFRecord.", *c.ChannelName)
	case d.S3DataSource != nil:
		if t := d.S3DataSource.S3DataType; t != types.S3DataTypeS3Prefix && t != types.S3DataTypeManifestFile {
			return invalid("localcloud doesn't read the S3DataType %s (channel %s): use S3Prefix or ManifestFile.", t, *c.ChannelName)
		}
		_, _, err := parseS3URI(*d.S3DataSource.S3Uri)
		return err
	case pipe:
		return invalid("A FileSystemDataSource has no Pipe input mode (channel %s): use File.", *c.ChannelName)
	}
	if in.VpcConfig == nil {
		return invalid("VpcConfig is required when a channel has a FileSystemDataSource (channel %s): give subnets and security groups that reach the file system.", *c.ChannelName)
	}
	if s.cfg.LustreUnsupported && d.FileSystemDataSource.FileSystemType == types.FileSystemTypeFsxlustre {
		return invalid("FSx for Lustre is currently not supported in the region %s for SageMaker", s.cfg.Region)
	}
	return nil
}

// inputMode is the channel's own mode, else the algorithm's.
func inputMode(in *sdk.CreateTrainingJobInput, c *types.Channel) types.TrainingInputMode {
	if c.InputMode != "" {
		return c.InputMode
	}
	return in.AlgorithmSpecification.TrainingInputMode
}

// checkpointPath is where the program keeps its checkpoints, in the container's terms.
func checkpointPath(in *sdk.CreateTrainingJobInput) string {
	if c := in.CheckpointConfig; c != nil && c.LocalPath != nil && *c.LocalPath != "" {
		return *c.LocalPath
	}
	return "/opt/ml/checkpoints/"
}

// underOptML gives the part of a container path below /opt/ml, if it lies there.
func underOptML(p string) (string, bool) {
	return strings.CutPrefix(path.Clean(p), "/opt/ml/")
}

// parseS3URI splits s3://bucket/key.
func parseS3URI(uri string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	if !ok {
		return "", "", invalid("localcloud takes S3 URIs of the form s3://bucket/key, not %q.", uri)
	}
	bucket, key, _ = strings.Cut(rest, "/")
	return bucket, key, nil
}
