package org.apache.hadoop.io.compress;

import java.io.*;

/** Reads Zstandard with the library's own Java binding. */
public class ZStandardCodec implements CompressionCodec {
    static class In extends CompressionInputStream {
        InputStream z;
        In(InputStream in) throws IOException { super(in); z = new com.github.luben.zstd.ZstdInputStream(in); }
        @Override public int read(byte[] b, int off, int len) throws IOException { return z.read(b, off, len); }
        @Override public int read() throws IOException { return z.read(); }
        @Override public void resetState() throws IOException { z = new com.github.luben.zstd.ZstdInputStream(in); }
    }

    public CompressionInputStream createInputStream(InputStream in) throws IOException { return new In(in); }
    public CompressionInputStream createInputStream(InputStream in, Decompressor d) throws IOException { return new In(in); }
    public CompressionOutputStream createOutputStream(OutputStream out) { throw new UnsupportedOperationException(); }
    public CompressionOutputStream createOutputStream(OutputStream out, Compressor c) { throw new UnsupportedOperationException(); }
    public Class<? extends Compressor> getCompressorType() { return null; }
    public Compressor createCompressor() { return null; }
    public Class<? extends Decompressor> getDecompressorType() { return null; }
    public Decompressor createDecompressor() { return null; }
    public String getDefaultExtension() { return ".zst"; }
}
