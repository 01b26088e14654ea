//go:build race

package datasettest

const raceDetector = true
