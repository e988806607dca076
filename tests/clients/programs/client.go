// client CASE BASE TASK: sends requests with Go's net/http.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
)

type generate struct {
	URLs   []string `json:"urls"`
	TaskID string   `json:"task_id"`
	Prompt string   `json:"prompt"`
}

// A reader of an unknown type, so that net/http cannot find its length.
type streamed struct{ io.Reader }

func finish(answer *http.Response, err error) {
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func get(client *http.Client, target, last string) {
	request, _ := http.NewRequest("GET", target, nil)
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	finish(client.Do(request))
}

func main() {
	if os.Args[1] == "versions" {
		fmt.Printf("{\"go\":%q}\n", runtime.Version()[2:])
		return
	}
	base, task := os.Args[2], os.Args[3]
	api := base + "/api/v1/faceflip"
	post := api + "/generate/stream"
	body, _ := json.Marshal(generate{[]string{"https://example.com/a.jpg", "https://example.com/b.jpg"}, task, "换脸"})

	switch os.Args[1] {
	case "post":
		finish(http.Post(post, "application/json", bytes.NewReader(body)))
	case "chunked":
		finish(http.Post(post, "application/json", streamed{bytes.NewReader(body)}))
	case "pipe":
		reader, writer := io.Pipe()
		go func() {
			_, _ = writer.Write(body[:20])
			_, _ = writer.Write(body[20:])
			writer.Close()
		}()
		finish(http.Post(post, "application/json", reader))
	case "expect":
		request, _ := http.NewRequest("POST", post, bytes.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Expect", "100-continue")
		finish(http.DefaultClient.Do(request))
	case "resume":
		get(http.DefaultClient, api+"/tasks/"+task+"/stream", "1700000000000-2")
	case "twice":
		get(http.DefaultClient, api+"/queue", "")
		get(http.DefaultClient, api+"/queue", "")
	case "proxy":
		proxy, _ := url.Parse(base)
		client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
		finish(client.Post(post, "application/json", bytes.NewReader(body)))
	default:
		os.Exit(2)
	}
}
