module github.com/trainyard/trainyard/gen

go 1.26.8
