// Prints what kstatus says of objects: for each one on stdin, as JSON, a line of JSON with status and message.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type verdict struct {
	Status  status.Status `json:"status"`
	Message string        `json:"message"`
}

func main() {
	if err := judge(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func judge(objects io.Reader, verdicts io.Writer) error {
	decoder, encoder := json.NewDecoder(objects), json.NewEncoder(verdicts)
	for {
		var content json.RawMessage
		if err := decoder.Decode(&content); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		// not straight into a map: there its integers would become floats
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(content); err != nil {
			return err
		}
		result, err := status.Compute(object)
		if err != nil {
			return err
		}
		if err := encoder.Encode(verdict{result.Status, result.Message}); err != nil {
			return err
		}
	}
}
