package chaos

