package queue

// Pause is how long a message stays hidden after a failed try.
var Pause = pause
