"""The steps that `octavo.api` puts together: each file is one of them."""
