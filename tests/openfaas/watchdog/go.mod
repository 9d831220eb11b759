module rsfaas/watchdog

go 1.22
