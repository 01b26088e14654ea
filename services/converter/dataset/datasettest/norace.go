//go:build !race

package datasettest

const raceDetector = false
