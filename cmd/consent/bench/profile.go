package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// profiles are what pprof reads of a whole benchmark, filling included.
type profiles struct{ cpu, mem string }

// addTo gives a command and all below it the flags.
func (p *profiles) addTo(c *cobra.Command) {
	c.PersistentFlags().StringVar(&p.cpu, "cpuprofile", "", "write where the processor's time went, for go tool pprof")
	c.PersistentFlags().StringVar(&p.mem, "memprofile", "", "write what was allocated, for go tool pprof")
	for _, sub := range c.Commands() {
		run := sub.RunE
		sub.RunE = func(c *cobra.Command, args []string) error {
			return p.during(func() error { return run(c, args) })
		}
	}
}

// during runs do and writes the profiles that were asked for.
func (p *profiles) during(do func() error) (err error) {
	if p.cpu != "" {
		f, err := os.Create(p.cpu)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if err := do(); err != nil || p.mem == "" {
		return err
	}
	f, err := os.Create(p.mem)
	if err != nil {
		return err
	}
	runtime.GC() // the profile is as of the last collection
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}

// processorTime is what this process has used so far on all cores, its own and
// the kernel's for it. On a shared machine it says more than a clock.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reportCost says what one of n pieces of work has cost the processor.
func reportCost(w io.Writer, what string, used time.Duration, n int) {
	if n > 0 {
		fmt.Fprintf(w, "%-44s %12.1f us of processor time\n", what, float64(used.Microseconds())/float64(n))
	}
}
