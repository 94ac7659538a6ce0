"""Reading live: frames of a film or a capture device, one reader, its marks drawn over them."""
