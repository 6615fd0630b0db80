// Takes mail from Mailport, format JSON, signed: WEBHOOK_KEY=… go run receiver.go PORT FOLDER
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("WEBHOOK_KEY"), "whsec_"))
	panic(http.ListenAndServe(":"+os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, stamp := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
		body, err := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, key)
		mac.Write(append([]byte(id+"."+stamp+"."), body...))
		ours, status := "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), 401
		seconds, _ := strconv.ParseInt(stamp, 10, 64)
		for _, one := range strings.Fields(r.Header.Get("webhook-signature")) {
			if err == nil && hmac.Equal([]byte(ours), []byte(one)) && time.Since(time.Unix(seconds, 0)).Abs() < 5*time.Minute {
				status = store(os.Args[2], id, body)
			}
		}
		w.WriteHeader(status)
	})))
}

// store returns 204 when the message survives a crash.
func store(folder, id string, body []byte) int {
	file, err := os.Create(folder + "/" + id + ".json") // the same id: the same message again
	if err != nil {
		return 503
	}
	defer file.Close()
	directory, err := os.Open(folder)
	if err != nil {
		return 503
	}
	defer directory.Close()
	if _, err = file.Write(body); err != nil || file.Sync() != nil || directory.Sync() != nil {
		return 503
	}
	return 204
}
