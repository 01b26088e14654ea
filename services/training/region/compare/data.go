package compare

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/region"
)

// storages are the file systems that SageMaker reads, by the feature that tells where it does.
var storages = []struct {
	feature region.Feature
	storage basedataset.Storage
	kind    types.FileSystemType
}{
	{region.FSxLustre, basedataset.Lustre, types.FileSystemTypeFsxlustre},
	{region.EFS, basedataset.EFS, types.FileSystemTypeEfs},
}

func (c *comparison) fileSystems() {
	for _, s := range storages {
		hereOK, hereWhy := c.Capabilities.Supports(c.here, s.feature)
		thereOK, thereWhy := c.Capabilities.Supports(c.there, s.feature)
		if hereOK == thereOK {
			continue
		}
		d := Difference{
			Subject: "file system: " + s.storage.String(), Here: supported(hereOK, hereWhy), There: supported(thereOK, thereWhy),
		}
		if !thereOK {
			d.Change = "Copy base datasets that lie on it to another storage there. Should it work by now, say so in the installation's file of region capabilities."
			d.Blocking = c.needs(s.storage, s.kind)
		}
		c.add(d)
	}
}

func supported(ok bool, why string) string {
	if ok {
		return "read by SageMaker"
	}
	return "not read by SageMaker: " + why
}

// needs tells whether the job, or any base dataset of the installation, has no way around a kind of file system.
func (c *comparison) needs(storage basedataset.Storage, kind types.FileSystemType) bool {
	if c.request != nil {
		for _, channel := range c.request.InputDataConfig {
			if fs := channel.DataSource.FileSystemDataSource; fs != nil && fs.FileSystemType == kind && !c.readable(*channel.ChannelName) {
				return true
			}
		}
		return false
	}
	for _, b := range c.BaseDatasets {
		if l, _, err := basedataset.Resolve(b, c.here, c.Capabilities); err == nil && l.Storage == storage && !c.readable(b.ID) {
			return true
		}
	}
	return false
}

// readable tells whether a base dataset can be read there.
func (c *comparison) readable(id string) bool {
	b := basedataset.List(c.BaseDatasets).Find(id)
	if b == nil {
		return false
	}
	_, _, err := basedataset.Resolve(b, c.there, c.Capabilities)
	return err == nil
}

func (c *comparison) isBase(channel string) bool {
	return basedataset.List(c.BaseDatasets).Find(channel) != nil
}

// baseDatasets tells of each that is used where it is read.
func (c *comparison) baseDatasets() {
	used := map[string]bool{}
	if c.request != nil {
		for _, channel := range c.request.InputDataConfig {
			name := *channel.ChannelName
			used[name] = true
			if fs := channel.DataSource.FileSystemDataSource; fs != nil && !c.isBase(name) {
				c.add(Difference{
					Subject: "channel " + name, Here: fmt.Sprintf("%s %s%s", fs.FileSystemType, aws.ToString(fs.FileSystemId), aws.ToString(fs.DirectoryPath)),
					There: "a file system in " + c.there, Change: "Copy the data to a file system there: they are of one region.", Blocking: true,
				})
			}
		}
	}
	for _, b := range c.BaseDatasets {
		if c.request != nil && !used[b.ID] {
			continue
		}
		d := Difference{Subject: "base dataset " + b.ID}
		if l, _, err := basedataset.Resolve(b, c.here, c.Capabilities); err == nil {
			d.Here = l.String()
		} else {
			d.Here = "none"
		}
		l, note, err := basedataset.Resolve(b, c.there, c.Capabilities)
		if err != nil {
			d.There, d.Blocking = "none: "+err.Error(), true
			d.Change = "Copy it to a storage that SageMaker reads in " + c.there + ", EFS or S3, and add this location to the base dataset."
		} else {
			d.There = l.String()
			if note != "" {
				d.There += ": " + note
			}
		}
		c.add(d)
	}
}
