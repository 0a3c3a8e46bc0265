"""Operations: one declaration a file."""
