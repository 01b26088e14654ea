package convert

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/all"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// findFormat takes the format that was asked for, or the one that fits best.
func (p *planner) findFormat() (choice FormatChoice, err error) {
	if p.opts.Format != "" {
		p.reader, err = readerNamed(p.opts.Format)
		return FormatChoice{Name: p.opts.Format, Reason: "it was asked for"}, err
	}
	var looked []string
	if p.reader, choice, looked, err = p.look(); err != nil || p.reader != nil {
		return choice, err
	}
	e := reject.New(reject.UnknownFormat, "The upload holds no dataset that is known. Found: %s. Looked for: %s. `trainyard list formats` shows an example of each.",
		p.seen(), strings.Join(looked, "; "))
	e.Files = p.left
	return choice, e
}

// look finds the format that fits best: one of which something certain was found, and of these the one that reads the largest
// share of the files. The reader is nil if none does; looked says what was looked for.
func (p *planner) look() (reader dataset.Reader, choice FormatChoice, looked []string, err error) {
	var best dataset.Match
	for _, r := range all.Readers() {
		m, err := r.Detect(p.ctx, p)
		if err != nil {
			return nil, choice, nil, fmt.Errorf("look for the format %s: %w", r.Format().Name, err)
		}
		name := r.Format().Name
		looked = append(looked, m.Why)
		if m.Share <= 0 {
			continue
		}
		if m.Certain && !best.Certain || m.Certain == best.Certain && m.Share > best.Share {
			if reader != nil {
				choice.Others = append(choice.Others, choice.Name+": "+best.Why)
			}
			reader, best, choice.Name = r, m, name
		} else {
			choice.Others = append(choice.Others, name+": "+m.Why)
		}
	}
	if reader != nil {
		choice.Reason = fmt.Sprintf("the upload holds %s; %.3g %% of its files are read", best.Why, 100*best.Share)
		if len(choice.Others) > 0 && best.Certain {
			choice.Reason += ", and nothing else describes it as closely"
		}
	}
	return reader, choice, looked, nil
}

// explain completes a format's refusal of the whole upload: by what was left out of it, and by what it looks like if another format was asked for.
func (p *planner) explain(err error) error {
	var refused *reject.Error
	if p.err != nil || !errors.As(err, &refused) {
		return err
	}
	if refused.Files.Total() == 0 && p.left.Bad() > 0 {
		refused.Message += " Left out: " + p.left.Examples(3) + "."
		refused.Files = p.left
	}
	if p.opts.Format == "" {
		return err
	}
	reader, choice, _, failed := p.look()
	switch {
	case failed != nil:
		return failed
	case reader == nil:
		refused.Message += fmt.Sprintf(" Found: %s.", p.seen())
	case choice.Name != p.opts.Format:
		refused.Message += fmt.Sprintf(" Found: %s. Without a format being chosen, the upload is read as %s.", p.seen(), choice.Name)
	}
	return err
}

// seen says in a few words what the upload holds.
func (p *planner) seen() string {
	switch {
	case p.Len() == 0 && p.left.Bad() > 0:
		return p.left.Examples(3)
	case p.Len() == 0:
		return "no usable file"
	}
	first := p.At(0).Path
	said := fmt.Sprintf("%d files such as %q", p.Len(), first)
	if p.Len() == 1 {
		said = fmt.Sprintf("the file %q", first)
	}
	if !containerName.MatchString(first) {
		return said
	}
	if p.bare {
		return said + ", whose content is no such container: see whether it is what you meant to send, for example whether its download failed"
	}
	return said + "; containers within the upload are not opened: unpack them, and upload what is inside"
}

var containerName = regexp.MustCompile(`(?i)\.(zip|tar|tgz|gz|zst|bz2|xz|7z|rar)$`)

// refuseDocuments refuses a document of an office program: it is a zip, and the pictures in it would be taken for a dataset.
func (p *planner) refuseDocuments() error {
	const mark = "[Content_Types].xml" // of Open Packaging Conventions (ECMA-376 part 2)
	for i := range p.listing.Entries {
		if p.listing.Entries[i].Path == mark {
			return reject.New(reject.UnsupportedContainer, "The upload is an Office document, such as .xlsx or .docx: it holds %q. "+
				"Save a table as CSV (UTF-8) and upload that; put images into a zip with one folder a class.", mark)
		}
	}
	return nil
}
