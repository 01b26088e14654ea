package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/trainyard/trainyard/services/training/region"
)

// kmsKeyCheck looks whether the job's role can use the keys of its volumes and its output: the key is there, enabled and symmetric, and its own
// policy allows the role, or leaves that to IAM and IAM allows it.
func kmsKeyCheck() Check {
	return Check{Name: "kms-key", Title: "KMS keys of volume and output", Run: runKMSKey}
}

func runKMSKey(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	ids, uses := s.keys()
	if len(ids) == 0 {
		return skipped("the job names no KMS key")
	}
	client, err := c.kms()
	if err != nil {
		return Result{}, err
	}
	var f findings
	prevents := notAuthorized(s.role(), keyActions(ids[0], uses[ids[0]])[0], ids[0])
	for _, id := range ids {
		if err := kmsKey(ctx, c, client, s, &f, id, uses[id]); err != nil {
			return f.result(prevents), err
		}
	}
	return f.result(prevents), nil
}

func kmsKey(ctx context.Context, c *Clients, client KMS, s *Subject, f *findings, id string, uses []string) error {
	what := strings.Join(uses, " and ") + " key " + id
	another := fmt.Sprintf("aws kms list-aliases --region %s", s.Region)
	if parsed, err := arn.Parse(id); err == nil && (parsed.Region != s.Region || parsed.Partition != region.Partition(s.Region)) {
		f.fail(fmt.Sprintf("%s is of %s in partition %s, the job of %s in %s", what, parsed.Region, parsed.Partition, s.Region, region.Partition(s.Region)),
			"name a key of the job's region", another)
		return nil
	}
	out, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id})
	if errorCode(err) == "NotFoundException" {
		f.fail("there is no "+what+" in "+s.Region, "name a key that is there", another)
		return nil
	}
	if err != nil {
		return err
	}
	key := out.KeyMetadata
	keyID, keyARN := aws.ToString(key.KeyId), aws.ToString(key.Arn)
	switch {
	case key.KeyState != "" && key.KeyState != kmstypes.KeyStateEnabled || key.KeyState == "" && !key.Enabled:
		f.fail(fmt.Sprintf("%s is %s", what, key.KeyState), "enable the key; one that waits for deletion has to be rescued first",
			fmt.Sprintf("aws kms cancel-key-deletion --region %s --key-id %s # if it is PendingDeletion\naws kms enable-key --region %s --key-id %s", s.Region, keyID, s.Region, keyID))
		return nil
	case key.KeyUsage != kmstypes.KeyUsageTypeEncryptDecrypt || key.KeySpec != "" && key.KeySpec != kmstypes.KeySpecSymmetricDefault:
		f.fail(fmt.Sprintf("%s is for %s with %s; S3 and EBS need a symmetric key for ENCRYPT_DECRYPT", what, key.KeyUsage, key.KeySpec), "name a symmetric key",
			fmt.Sprintf("aws kms create-key --region %s --key-usage ENCRYPT_DECRYPT --key-spec SYMMETRIC_DEFAULT", s.Region))
		return nil
	case key.KeyManager == kmstypes.KeyManagerTypeAws:
		f.ok("%s is %s, managed by AWS, which lets in who uses the service", what, keyARN)
		return nil
	}
	f.ok("%s is %s, enabled", what, keyARN)

	actions := keyActions(id, uses)
	if account(keyARN) != s.account() {
		return keyOfOthers(ctx, c, s, f, what, keyARN, actions)
	}
	doc, err := client.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &keyID, PolicyName: aws.String("default")})
	if err != nil {
		return err
	}
	policy, err := ParsePolicy(aws.ToString(doc.Policy))
	if err != nil {
		return err
	}
	var ask, delegated []string
	mend, snippet := "let the role use the key: add the statement to the key's policy", keyStatement(s.role(), actions)
	for _, action := range actions {
		q := Question{Principal: s.role(), Action: action, Resource: keyARN, Context: map[string]string{
			"kms:grantisforawsresource": "true", "kms:calleraccount": s.account(), "aws:principalaccount": s.account(), "aws:principalarn": s.role(),
		}}
		switch verdict, why := policy.Allows(q); verdict {
		case Allowed:
			f.ok("its policy lets the role %s", action)
		case Denied:
			f.fail(fmt.Sprintf("the policy of %s doesn't let the role %s: %s", keyARN, action, why), mend, snippet)
		default:
			ask = append(ask, action)
			q.Principal = fmt.Sprintf("arn:%s:iam::%s:root", region.Partition(s.Region), s.account())
			if toAccount, _ := policy.Allows(q); toAccount != Denied {
				delegated = append(delegated, action)
			}
		}
	}
	if len(ask) == 0 {
		return nil
	}
	f.ok("its policy leaves %s to IAM or to conditions", strings.Join(ask, ", "))
	denials, err := s.simulateKey(ctx, c, keyARN, ask)
	if err != nil {
		return err
	}
	for _, d := range denials {
		// What the key's policy allows the role itself under a condition doesn't need IAM.
		d.Unsure = d.Unsure || !slices.Contains(delegated, d.Action)
		judge(f, permission{Why: "use the " + what}, []denial{d}, s.role())
	}
	if len(denials) == 0 {
		f.ok("IAM lets the role %s; %s", strings.Join(ask, ", "), simulationSees)
	}
	return nil
}

// keyOfOthers looks at a key of another account, whose policy can't be read: IAM has to allow it, and that policy as well.
func keyOfOthers(ctx context.Context, c *Clients, s *Subject, f *findings, what, keyARN string, actions []string) error {
	denials, err := s.simulateKey(ctx, c, keyARN, actions)
	if err != nil {
		return err
	}
	judge(f, permission{Why: "use the " + what}, denials, s.role())
	f.warn(fmt.Sprintf("it belongs to account %s: its policy can't be read from here", account(keyARN)), "let its owner add the statement to the key's policy", keyStatement(s.role(), actions))
	return nil
}

func (s *Subject) simulateKey(ctx context.Context, c *Clients, keyARN string, actions []string) ([]denial, error) {
	client, err := c.iam()
	if err != nil {
		return nil, err
	}
	return simulate(ctx, client, s.role(), permission{Actions: actions, Resources: []string{keyARN}})
}

// keyActions are what the role does with a key, by "CreateTrainingJob API: Execution Role Permissions" and the reference of OutputDataConfig.KmsKeyId.
func keyActions(id string, uses []string) []string {
	var actions []string
	for _, use := range uses {
		switch use {
		case volumeKey:
			actions = append(actions, "kms:CreateGrant")
		case outputKey:
			actions = append(actions, "kms:GenerateDataKey", "kms:Decrypt")
			if !strings.HasPrefix(id, "arn:") {
				actions = append(actions, "kms:Encrypt")
			}
		}
	}
	return actions
}

func keyStatement(role string, actions []string) string {
	return fmt.Sprintf(`{"Effect": "Allow", "Principal": {"AWS": %q}, "Action": ["%s"], "Resource": "*"}`, role, strings.Join(actions, `", "`))
}
