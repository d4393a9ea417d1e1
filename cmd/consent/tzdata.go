package main

// The program carries the time-zone data, so that a date means the same on a
// machine that has none. The machine's own, if there is any, is used first.
import _ "time/tzdata"
