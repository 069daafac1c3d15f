import org.apache.solr.embedded.JettyConfig;
import org.apache.solr.embedded.JettySolrRunner;

/** A Solr server for development: {@code java -cp 'lib/*' Solr.java HOME PORT}. */
public class Solr {
    public static void main(String[] arguments) throws Exception {
        JettyConfig config = JettyConfig.builder()
            .setContext("/solr")
            .setPort(Integer.parseInt(arguments[1]))
            .build();
        // Returns when all cores have been loaded.
        new JettySolrRunner(arguments[0], config).start();
        System.out.println("ready");
    }
}
