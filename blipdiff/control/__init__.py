"""Structure from another picture: control maps, and the branches that follow them."""
