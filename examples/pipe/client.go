// A client in Go: `epb pipe` keeps the secret, the connection and the leases.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"os/exec"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	broker := exec.Command("epb", "pipe")
	broker.Stderr = os.Stderr
	in, err := broker.StdinPipe()
	check(err)
	out, err := broker.StdoutPipe()
	check(err)
	check(broker.Start())
	replies := bufio.NewReader(out)
	ask := func(request string) string {
		_, err := fmt.Fprintln(in, request)
		check(err)
		reply, err := replies.ReadString('\n')
		check(err)
		return reply
	}

	ask(`{"action":"set","key":"greeting","value":"hello","ttl":60000}`)
	fmt.Print(ask(`{"action":"get","key":"greeting"}`))
	check(in.Close())
	check(broker.Wait())
}
