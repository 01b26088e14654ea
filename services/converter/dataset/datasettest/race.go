//go:build race

package datasettest

// RaceDetector tells whether the tests run under the race detector, where times and sizes say nothing.
const RaceDetector = true
