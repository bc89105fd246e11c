// SPDX-License-Identifier: GPL-2.0

// Starts programs all the time, by goroutines on threads of their own that each start the next one and end,
// and counts how many were started in each round, and how many could not be. It is told so by lines on a
// connection: "mark" begins a round, "count N" says how many there were in one, "stop" ends it all.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

const threads = 4

var (
	made, refused  [64]int64
	round, stopped int64
	running        sync.WaitGroup
)

// The thread ends with the goroutine, which does not unlock it.
func relay() {
	runtime.LockOSThread()
	began := atomic.LoadInt64(&round)
	if exec.Command("/bin/true").Run() == nil {
		atomic.AddInt64(&made[began], 1)
	} else {
		atomic.AddInt64(&refused[began], 1)
	}
	if atomic.LoadInt64(&stopped) != 0 {
		running.Done()
	} else {
		go relay()
	}
}

func answer(line string) string {
	n := 0
	switch {
	case line == "mark":
		return fmt.Sprint(atomic.AddInt64(&round, 1))
	case strings.HasPrefix(line, "count "):
		fmt.Sscanf(line, "count %d", &n)
		return fmt.Sprint(atomic.LoadInt64(&made[n]), atomic.LoadInt64(&refused[n]))
	case line == "stop":
		atomic.StoreInt64(&stopped, 1)
		running.Wait()
		return "stopped"
	}
	return "what?"
}

func serve(connection net.Conn) {
	lines := bufio.NewScanner(connection)
	for lines.Scan() {
		fmt.Fprintln(connection, answer(lines.Text()))
	}
	connection.Close()
}

func main() {
	server, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		panic(err)
	}
	for i := 0; i < threads; i++ {
		running.Add(1)
		go relay()
	}
	for {
		connection, err := server.Accept()
		if err != nil {
			panic(err)
		}
		go serve(connection)
	}
}
