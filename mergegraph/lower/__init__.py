"""Lower the Recipe to the Graph: one expression per output tensor."""
