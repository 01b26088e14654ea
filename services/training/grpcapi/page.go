package grpcapi

import (
	"encoding/base64"
	"regexp"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/trainyard/trainyard/services/internal/apierror"
)

// pageSize is the size of a page: the default where none was asked for, and never more than the most.
func pageSize(asked int32, byDefault, most int64) int64 {
	if asked == 0 {
		return byDefault
	}
	return min(int64(asked), most)
}

// maxPageBytes keeps a page within a gRPC message, which may have 8 MiB.
const maxPageBytes = 4 << 20

// page shows what was found, one item more than the page's size where there are more, and gives the token of the next page. A page of large items is
// shorter than its size.
func page[T any, P proto.Message](found []T, size int64, id func(T) string, show func(T) (P, error)) (shown []P, next string, err error) {
	bytes := 0
	for i, item := range found {
		if int64(i) == size {
			return shown, pageToken(id(found[i-1])), nil
		}
		p, err := show(item)
		if err != nil {
			return nil, "", err
		}
		if bytes += proto.Size(p); i > 0 && bytes > maxPageBytes {
			return shown, pageToken(id(found[i-1])), nil
		}
		shown = append(shown, p)
	}
	return shown, "", nil
}

// idPattern is what ids in this service's database look like.
var idPattern = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// A page token is the key of the last item of a page in base64: it stays right when items are added.
func pageToken(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

func readPageToken(token string) (string, error) {
	key, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", apierror.PageToken()
	}
	return string(key), nil
}

func readIDToken(token string) (string, error) {
	if token == "" {
		return "", nil
	}
	id, err := readPageToken(token)
	if err != nil || !idPattern.MatchString(id) {
		return "", apierror.PageToken()
	}
	return id, nil
}

func readNumberToken(token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	key, err := readPageToken(token)
	if err != nil {
		return 0, err
	}
	number, err := strconv.ParseInt(key, 10, 64)
	if err != nil || number < 0 {
		return 0, apierror.PageToken()
	}
	return number, nil
}
