from veilstream.cli.app import main

main()
