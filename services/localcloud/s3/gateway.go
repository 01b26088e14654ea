package s3

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3err"
)

// gateway is versitygw's handler, called without a connection between: sent on through one, a body would be copied three more times,
// and copies are most of what an object store on this machine costs.
type gateway struct {
	// running is held for reading by requests under way, and for writing by who starts and stops the gateway.
	running sync.RWMutex
	handler fasthttp.RequestHandler // nil: not serving
}

// start makes the handler answer.
func (g *gateway) start(handler fasthttp.RequestHandler) {
	g.running.Lock()
	defer g.running.Unlock()
	g.handler = handler
}

// stop waits for the requests under way; all others are refused from then on.
func (g *gateway) stop() { g.start(nil) }

// serve answers a request as versitygw does. It reports whether the gateway is serving.
func (g *gateway) serve(w http.ResponseWriter, r *http.Request) bool {
	g.running.RLock()
	defer g.running.RUnlock()
	if g.handler == nil {
		return false
	}
	// It is not used again: strings that versitygw makes of a request share its memory.
	ctx := &fasthttp.RequestCtx{}
	ctx.Init2(peer{r.RemoteAddr}, discard{}, true)
	if err := translate(&ctx.Request, r); err != nil {
		writeError(w, apiError(http.StatusBadRequest, "InvalidRequest", "The request can't be read: "+err.Error()))
		return true
	}
	g.handler(ctx)
	answer(w, r, &ctx.Response)
	return true
}

// translate gives fasthttp the request as it was on the wire: versitygw checks its signature, and reads its header once more by itself.
func translate(to *fasthttp.Request, r *http.Request) error {
	var wire bytes.Buffer
	fmt.Fprintf(&wire, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Host)
	switch {
	case r.ContentLength < 0:
		wire.WriteString("Transfer-Encoding: chunked\r\n")
	case r.ContentLength > 0 || r.Method != http.MethodGet && r.Method != http.MethodHead:
		fmt.Fprintf(&wire, "Content-Length: %d\r\n", r.ContentLength)
	}
	// The client is asked to go on by the first read of the body.
	if err := r.Header.WriteSubset(&wire, map[string]bool{"Content-Length": true, "Expect": true}); err != nil {
		return err
	}
	wire.WriteString("\r\n")
	if err := to.Header.Read(bufio.NewReaderSize(&wire, wire.Len())); err != nil {
		return err
	}
	if r.ContentLength != 0 {
		to.SetBodyStream(body{r.Body}, int(r.ContentLength))
	}
	return nil
}

// body is the body of a request. One that breaks off must not look like one that ends: versitygw takes what came for the object.
type body struct{ io.Reader }

func (b body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	return n, err
}

func answer(w http.ResponseWriter, r *http.Request, from *fasthttp.Response) {
	stream := from.BodyStream()
	from.Header.SetNoDefaultContentType(true)
	header := w.Header()
	for name, value := range from.Header.All() {
		header.Add(string(name), string(value))
	}
	header.Del("Transfer-Encoding") // net/http finds it out by itself.
	w.WriteHeader(from.StatusCode())
	if stream == nil {
		_, _ = w.Write(from.Body()) // A client that is gone needs no answer.
		return
	}
	defer from.CloseBodyStream() //nolint:errcheck // It was read, or nobody wants it.
	if r.Method == http.MethodHead {
		return
	}
	sendBody(w, stream, from.Header.ContentLength())
}

// sendBody sends a body: a file's by sendfile, without copying it, and one that is made on the way as it is made.
func sendBody(w http.ResponseWriter, stream io.Reader, length int) {
	var err error
	switch s := stream.(type) {
	case *os.File:
		_, err = io.Copy(w, s)
	case *fileRange:
		_, err = io.Copy(w, &s.LimitedReader)
	default:
		to := io.Writer(struct{ io.Writer }{w})
		if length < 0 {
			to = flushed{w, http.NewResponseController(w)}
		}
		buffer := bufferPool.Get().(*[copyBuffer]byte)
		defer bufferPool.Put(buffer)
		_, err = io.CopyBuffer(to, struct{ io.Reader }{stream}, buffer[:])
	}
	if err != nil {
		panic(http.ErrAbortHandler) // So that the client doesn't take what it got for all.
	}
}

// flushed sends what it is given at once.
type flushed struct {
	io.Writer
	control *http.ResponseController
}

func (f flushed) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	return n, errors.Join(err, f.control.Flush())
}

// fileRange is a part of a file. Unlike versitygw's own it can be told from other readers, so that it is sent by sendfile.
type fileRange struct {
	io.LimitedReader
	file *os.File
}

func newFileRange(file *os.File, start, length int64) (*fileRange, error) {
	if _, err := file.Seek(start, io.SeekStart); err != nil {
		return nil, err
	}
	return &fileRange{io.LimitedReader{R: file, N: length}, file}, nil
}

func (f *fileRange) Close() error { return f.file.Close() }

const copyBuffer = 256 << 10

var bufferPool = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// peer is the connection of a request as far as versitygw asks for it: for its address.
type peer struct{ address string }

func (p peer) RemoteAddr() net.Addr {
	address, err := netip.ParseAddrPort(p.address)
	if err != nil {
		return &net.TCPAddr{}
	}
	return net.TCPAddrFromAddrPort(address)
}
func (peer) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (peer) SetDeadline(time.Time) error      { return nil }
func (peer) SetReadDeadline(time.Time) error  { return nil }
func (peer) SetWriteDeadline(time.Time) error { return nil }
func (peer) Read([]byte) (int, error)         { return 0, net.ErrClosed }
func (peer) Write([]byte) (int, error)        { return 0, net.ErrClosed }
func (peer) Close() error                     { return nil }

// discard is fasthttp's logger. It has nothing to say that the answer doesn't.
type discard struct{}

func (discard) Printf(string, ...any) {}
