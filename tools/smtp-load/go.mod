module mailport.dev/tools/smtp-load

go 1.26
