package main

import (
	"os"
	"runtime"
	"runtime/pprof"
)

var kept [][]byte

//go:noinline
func small() []byte { return make([]byte, 100) }

//go:noinline
func large() []byte { return make([]byte, 10000) }

//go:noinline
func fill() {
	for i := 0; i < 4000; i++ {
		if i%4 == 0 {
			kept = append(kept, large())
		} else {
			kept = append(kept, small())
		}
	}
}

func main() {
	runtime.MemProfileRate = 4096
	fill()
	runtime.GC()
	f, _ := os.Create(os.Args[1])
	pprof.WriteHeapProfile(f)
	f.Close()
	println(len(kept))
}
