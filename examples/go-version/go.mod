module example/stamp

go 1.19
