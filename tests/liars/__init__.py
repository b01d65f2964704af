"""The liars' gallery: every flag has a lie that it must see, and a truth that it must let pass."""
