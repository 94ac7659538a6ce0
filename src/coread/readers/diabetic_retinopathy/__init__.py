"""Fundus photographs: is there referable diabetic retinopathy, said only when sure (research use)."""
