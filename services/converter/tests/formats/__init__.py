"""One upload of each dataset format, written by the tools that people write them with."""
