// A program in Go that calls, with nothing but Go's own library: as itself, or as whom it says.
//
//	relay call          one call for each that is read from the input:
//	                    [{"method", "url", "headers": [[NAME, VALUE], ...], "as_written", "say", "body"}]
//	relay serve TARGET  passes on what comes to the address that it prints
//
// Names stand as Go has them, or "as_written". What is to "say" is written by Go's own JSON writer,
// a "body" is sent as it is.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

type Call struct {
	Method    string      `json:"method"`
	URL       string      `json:"url"`
	Headers   [][2]string `json:"headers"`
	AsWritten bool        `json:"as_written"`
	Say       any         `json:"say"`
	Body      string      `json:"body"`
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (call Call) content() []byte {
	if call.Say == nil {
		return []byte(call.Body)
	}
	body, err := json.Marshal(call.Say)
	must(err)
	return body
}

func (call Call) send() {
	request, err := http.NewRequest(call.Method, call.URL, bytes.NewReader(call.content()))
	must(err)
	for _, header := range call.Headers {
		if call.AsWritten {
			request.Header[header[0]] = []string{header[1]}
		} else {
			request.Header.Set(header[0], header[1])
		}
	}
	answer, err := http.DefaultClient.Do(request)
	must(err)
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	must(err)
}

func main() {
	if os.Args[1] == "serve" {
		target, err := url.Parse(os.Args[2])
		must(err)
		door, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		fmt.Printf("http://%s\n", door.Addr())
		must(http.Serve(door, httputil.NewSingleHostReverseProxy(target)))
	}
	var calls []Call
	must(json.NewDecoder(os.Stdin).Decode(&calls))
	for _, call := range calls {
		call.send()
	}
}
