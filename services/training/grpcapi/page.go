package grpcapi

import (
	"encoding/base64"
	"regexp"
	"strconv"

	"github.com/trainyard/trainyard/services/internal/apierror"
)

// pageSize is the size of a page: the default where none was asked for, and never more than the most.
func pageSize(asked int32, byDefault, most int64) int64 {
	if asked == 0 {
		return byDefault
	}
	return min(int64(asked), most)
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
