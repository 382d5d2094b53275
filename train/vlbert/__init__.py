"""VL-BERT and MM-BERT: settings, and texts and regions as their single stream reads them."""
